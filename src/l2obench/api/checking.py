"""`l2obench.check`: did the newer of two results get worse?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from l2obench.api.gating import read_sides, run_sides, write_summaries
from l2obench.api.naming import BadArgument, task_identities
from l2obench.api.reporting import to_folder
from l2obench.api.results import Results
from l2obench.bench.gate import output
from l2obench.bench.gate.cell_verdict import Check, Settings
from l2obench.bench.gate.verdict import compare
from l2obench.bench.process import main_module_kept_out, process_set_up


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    check: Check
    """All comparisons, with every measure."""

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing got worse."""
        return self.check.exit_code == 0

    @property
    def summary(self) -> str:
        """The result in one line."""
        return output.summary(self.check)

    def frame(self) -> pd.DataFrame:
        """One row for each cell, with its verdict and the reason; what fails comes first."""
        return pd.DataFrame(output.rows(self.check))

    def __repr__(self) -> str:
        return f"CheckResult({'passed' if self.passed else 'failed'}): {self.summary}"


def check(
    base: "str | Path | Results | None" = None,
    head: "str | Path | Results | None" = None,
    *,
    checkpoint: str | None = None,
    against: str | None = None,
    suite: str = "gate",
    tasks: "str | Sequence[str] | None" = None,
    optimizer: str | None = None,
    seeds: int | None = None,
    out: str | Path | None = None,
    tolerance: float | None = None,
    allow_missing: bool = False,
    time_limit: float | None = None,
    junit: str | Path | None = None,
    markdown: str | Path | None = None,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    progress: bool = True,
) -> CheckResult:
    """Say whether HEAD got worse than BASE.

    Args:
        base: results to compare with: a run, a folder of runs, a Parquet file, or `Results`; None: the reference
            results of l2obench.
        head: the results on trial.
        checkpoint: instead of `head`: a checkpoint, which is run here.
        against: instead of `base`: the checkpoint that it is compared with.
        suite: the suite that checkpoints run on: its tasks of their family.
        tasks: instead of the suite's tasks.
        optimizer: the class that reads the checkpoints, as in `"mypkg.opt:MyOptimizer"`; None: the one they name.
        seeds: seeds of every task, for checkpoints.
        out: where the run of the checkpoints is kept; None: nowhere.
        tolerance: growth of the final loss that passes; None: what each task states.
        allow_missing: cells that HEAD lacks do not fail.
        time_limit: fail where a step takes so many times as long; None: step time does not fail.
        junit: a file for JUnit XML; None: none is written.
        markdown: a file for a summary in Markdown; None: none is written.
        device: the torch device, for checkpoints.
        data_dir: the folder of downloaded data; None: the environment variable `L2OBENCH_DATA`.
        progress: show what is done, for checkpoints.

    Returns:
        The verdict, and a table with a row for each cell.

    Raises:
        BadArgument: neither `head` nor `checkpoint` and `against` were given, or all of them.
        StoreError: a side can't be read, or a file can't be written.
        CheckpointMatchError: the two checkpoints do not belong together.
    """
    if (checkpoint is None) != (against is None) or (checkpoint is None) == (head is None):
        raise BadArgument(
            "give base and head, or both checkpoint and against, got "
            f"base={base!r}, head={head!r}, checkpoint={checkpoint!r}, against={against!r}. "
            "Try: check('results/before', 'results/after')"
        )
    if checkpoint is not None and against is not None:
        names = task_identities(tasks) if tasks is not None else []
        with process_set_up(device, data_dir), main_module_kept_out():
            sides = run_sides(
                checkpoint,
                against,
                suite,
                tasks=names,
                optimizer=optimizer,
                seeds=seeds,
                out=out,
                device=device,
                progress=progress,
            )
    else:
        sides = read_sides(None if base is None else to_folder("base", base), to_folder("head", head))
    found = compare(*sides, Settings(tolerance, allow_missing, time_limit))
    write_summaries(found, junit, markdown)
    return CheckResult(found)
