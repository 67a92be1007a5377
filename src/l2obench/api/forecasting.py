"""What a run would compute, and what that would take: short trials of its cells, without any file written."""

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from l2obench.bench.config.registry import function_family
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.measure import timing, tuning
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.memory import default_budget, seed_bytes
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.bench.run.cell import describe
from l2obench.bench.run.jobs import is_foreign
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer
    from l2obench.tasks.base import Task

TRIAL_SECONDS = 20.0
"""After so many seconds no further trial begins: a forecast should not take as long as a run."""
TRIAL_STEPS = 8
"""Steps of a trial, of which the median counts."""
RATES = tuning.LAST - tuning.FIRST + 1
TIMING_STEPS = timing.WARM_UP_STEPS + timing.TIMED_STEPS + timing.COUNTED_STEPS
# Successive halving runs all rates over 1/9 of the horizon, a third of them over 1/3, a ninth over all of it.
HALVING_SHARE = 1 / 3


@dataclass(frozen=True)
class Forecast:
    """What a run would compute."""

    cells: int
    """Cells of the run."""
    already_computed: int
    """Cells that its folder holds."""
    evaluation_steps: int
    """Steps of all replicas of the cells that are left, without tuning."""
    forecast_cells: int
    """Cells that are left and had a trial."""
    seconds: float
    """Seconds of those cells, one after the other in one process."""
    timing_seconds: float
    """Seconds of the timing pass."""
    memory_bytes: float
    """Memory of the replicas of the largest of those cells."""

    @property
    def rests_on(self) -> str:
        """What the forecast rests on, in a sentence."""
        left = self.cells - self.already_computed
        return (
            f"Trials of {TRIAL_STEPS} steps on this machine, for {self.forecast_cells} of the {left} cells to compute, "
            "with one grid of learning rates where they are tuned"
        )


def forecast(cells: Sequence[Cell], folder: Path, options: RunOptions) -> Forecast:
    """Say what a run would take, without running or writing anything.

    Cells of plugins have no trial: their code runs in processes of their own. After `TRIAL_SECONDS` no trial begins.

    Args:
        cells: what would run.
        folder: the results folder, which need not exist.
        options: how cells would be run.

    Raises:
        StoreError: the folder holds something else.
        FileNotFoundError: a task's data are not on this machine.
    """
    run = RunFolder(folder)
    run.require_run_or_empty()
    left = [cell for cell in cells if options.force or not _is_finished(run, cell, options)]
    began, tried, seconds, memory = time.perf_counter(), 0, 0.0, 0.0
    timed: dict[tuple[str, str], float] = {}
    for cell in left:
        if is_foreign(cell.task) or is_foreign(cell.optimizer) or time.perf_counter() - began > TRIAL_SECONDS:
            continue
        cell.task.require_data()
        tried += 1
        seconds += _seconds(cell, options)
        memory = max(memory, _memory(cell, options))
        if options.timing and cell.key[:2] not in timed:
            timed[cell.key[:2]] = TIMING_STEPS * _trial(cell.task, cell.optimizer, 1, 1, options)[1]
    steps = sum(cell.seeds * cell.task.horizon for cell in left)
    return Forecast(len(cells), len(cells) - len(left), steps, tried, seconds, sum(timed.values()), memory)


def _is_finished(run: RunFolder, cell: Cell, options: RunOptions) -> bool:
    return run.is_finished("cells", cell_name(*cell.key), describe(cell, options))


def _seconds(cell: Cell, options: RunOptions) -> float:
    """Seconds of a cell's evaluation, and of its tuning over one grid."""
    begin, step = _trial(cell.task, cell.optimizer, cell.seeds, 1, options)
    total = begin + step * cell.task.horizon
    if cell.track == "tuned":
        begin, step = _trial(cell.task.for_tuning(), cell.optimizer, cell.tuning_seeds, RATES, options)
        total += begin + step * cell.task.horizon * (HALVING_SHARE if cell.halving else 1.0)
    return total


def _trial(task: "Task", optimizer: "Optimizer", count: int, settings: int, options: RunOptions) -> tuple[float, float]:
    """Seconds of a rollout's start, and of one of its steps."""
    purpose: Purpose = "evaluation" if settings == 1 else "tuning"
    seeds = [derive_seed(purpose, function_family(task), index) for index in range(count)]
    if settings > 1:
        lr = torch.full((1, settings), float(getattr(optimizer, "lr")), device=options.device)  # noqa: B009
        optimizer = optimizer.stacked({"lr": lr})
    short = task.model_copy(update={"horizon": TRIAL_STEPS})
    # Compiling takes a minute, which a forecast should not.
    own = replace(options, compile=False)
    marks = [time.perf_counter()]
    rollout(
        short,
        optimizer,
        seeds,
        settings,
        options=own,
        evaluate=False,
        on_step=lambda: marks.append(time.perf_counter()),
    )
    # The median leaves out the first step, which is slow: memory is allocated, and libraries choose their kernels.
    step = statistics.median(after - before for before, after in itertools.pairwise(marks[1:]))
    return max(0.0, marks[1] - marks[0] - step), step


def _memory(cell: Cell, options: RunOptions) -> float:
    """Bytes of a cell's replicas. What exceeds the budget runs one part after another."""
    budget = default_budget(options.device) if options.memory is None else options.memory
    needed = cell.seeds * seed_bytes(cell.task, cell.optimizer, 1)
    if cell.track == "tuned":
        needed = max(needed, cell.tuning_seeds * seed_bytes(cell.task.for_tuning(), cell.optimizer, RATES))
    return min(needed, budget)
