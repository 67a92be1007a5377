"""What `l2obench.check` and the command `l2obench check` share: the sides, read from results or run from checkpoints.

It imports no report, which would delay the command.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from l2obench.api.progress import ProgressDisplay
from l2obench.bench.config.suite import load_suite
from l2obench.bench.gate import output
from l2obench.bench.gate.cell_verdict import Check
from l2obench.bench.gate.checkpoints import run_checkpoints
from l2obench.bench.gate.side import Recorded, read_side
from l2obench.bench.store.results_file import StoreError
from l2obench.foundation.regular_file import NONBLOCKING

Sides = tuple[list[Recorded], list[Recorded]]
"""The cells of BASE and of HEAD."""
REFERENCE = Path("results/reference")
"""In a checkout; an installed package has a copy of its own."""


def read_sides(base: Path | None, head: Path) -> Sides:
    """Read two results.

    Args:
        base: a run, a folder of runs or a Parquet file; None: the reference results of l2obench.
        head: the same, on trial.

    Raises:
        StoreError: one of them cannot be read.
    """
    return read_side(_reference_folder() if base is None else base), read_side(head)


def run_sides(
    checkpoint: str,
    against: str,
    suite: str,
    *,
    tasks: Sequence[str],
    optimizer: str | None,
    seeds: int | None,
    out: str | Path | None,
    device: str,
    progress: bool,
) -> Sides:
    """Run two checkpoints, and show progress.

    Args:
        checkpoint: on trial.
        against: what it is compared with.
        suite: where they run, on its tasks of their family.
        tasks: instead of the suite's tasks.
        optimizer: what reads the checkpoints; None: the optimizer that they name.
        seeds: seeds of every task; None: the suite's.
        out: where the run is kept; None: nowhere.
        device: the torch device.
        progress: show what is done.

    Raises:
        CheckpointMatchError, CheckpointError, StoreError, UnknownName: as `run_checkpoints` says.
    """
    display = ProgressDisplay("running")
    show: Callable[[str], Any] = display.print_line if progress else lambda _: None
    with tempfile.TemporaryDirectory() as temporary, display if progress else contextlib.nullcontext():
        return run_checkpoints(
            checkpoint,
            against,
            load_suite(suite),
            Path(temporary if out is None else out),
            tasks=tasks,
            rule=optimizer,
            seeds=seeds,
            device=device,
            report=show,
        )


def write_summaries(found: Check, junit: str | Path | None, markdown: str | Path | None) -> None:
    """Write what a check found to files.

    Args:
        found: all comparisons.
        junit: a file for JUnit XML; None: none is written.
        markdown: a file for a summary in Markdown; likewise.

    Raises:
        StoreError: a file can't be written.
    """
    if junit is not None:
        _write(Path(junit), output.to_junit(found))
    if markdown is not None:
        _write(Path(markdown), _to_markdown(found))


def _to_markdown(found: Check) -> str:
    # Here and not above: they take longer to import than a check without a summary should wait.
    import pandas as pd

    from l2obench.reports.formats import to_markdown

    said = "".join(
        f"\n\n{to_markdown(pd.DataFrame({'warnings': lines}))}" for lines in [output.warnings(found)] if lines
    )
    return f"### l2obench check\n\n{output.summary(found)}\n\n{to_markdown(pd.DataFrame(output.rows(found)))}{said}"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without waiting: a FIFO that nobody reads is an error at once.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NONBLOCKING, 0o666)
        os.set_blocking(handle, True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _reference_folder() -> Path:
    packaged = Path(str(resources.files("l2obench.bench") / "reference"))
    return packaged if packaged.is_dir() and not REFERENCE.is_dir() else REFERENCE
