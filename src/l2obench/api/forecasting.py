"""What a run would compute, and what that would take: short trials of its cells, without any file written."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from l2obench.bench.config.budget import is_tuned, parse_budget
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.measure import timing
from l2obench.bench.measure.trial import RATES, STEPS, Trial
from l2obench.bench.measure.tuning import REFINEMENTS
from l2obench.bench.rollout.memory import GIB, default_budget
from l2obench.bench.run.cell import describe
from l2obench.bench.run.jobs import is_foreign, try_out
from l2obench.bench.run.work import Assignment, Work
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder

TRIAL_SECONDS = 20.0
"""After trials of so many seconds none begins: a forecast should not take as long as a run."""
TIMING_STEPS = timing.WARM_UP_STEPS + timing.TIMED_STEPS + timing.COUNTED_STEPS
# Successive halving runs all rates over 1/9 of the horizon, a third of them over 1/3, a ninth over all of it.
HALVING_SHARE = 1 / 3
# Each refinement runs two rates beside the best.
REFINED_SHARE = 2 * REFINEMENTS / RATES


@dataclass(frozen=True)
class Forecast:
    """What a run would compute."""

    cells: int
    """Cells of the run."""
    already_computed: int
    """Cells that its folder holds."""
    evaluation_steps: int
    """Steps of all replicas of the cells that are left, without tuning."""
    tuning_steps: int
    """Steps of all replicas in the tuning of the cells that are left. A grid that grows takes more."""
    forecast_cells: int
    """Cells that are left and had a trial."""
    seconds: float
    """Seconds of those cells, one after the other in one process."""
    timing_seconds: float
    """Seconds of the timing pass."""
    memory_bytes: float
    """Memory of the replicas of the largest of those cells."""
    errors: list[str] = field(default_factory=list)
    """A line for each trial that failed."""

    @property
    def left(self) -> int:
        """Cells that are still to be computed."""
        return self.cells - self.already_computed

    @property
    def rests_on(self) -> str:
        """What the forecast rests on, in a sentence or two."""
        basis = f"Trials of up to {STEPS} steps on this machine, with one grid of learning rates for a tuned cell."
        if self.forecast_cells == self.left:
            return basis
        return (
            f"{basis} {self.left - self.forecast_cells} of {self.left} cells are left out: their trial failed, "
            f"or trials had taken {TRIAL_SECONDS:.0f} s before it."
        )

    def lines(self) -> list[str]:
        """The forecast as lines for people; none where nothing is left to compute."""
        warnings = [f"warning: a trial failed, and so will the run: {error}" for error in self.errors]
        if not self.left:
            return []
        if not self.forecast_cells:
            return ["No forecast: no trial was finished.", *warnings]
        word = "about" if self.forecast_cells == self.left else "more than"
        return [
            f"Time: {word} {format_duration(self.seconds)} in one process, and {format_duration(self.timing_seconds)} "
            "of timing",
            f"Memory of the replicas: about {self.memory_bytes / GIB:.2g} GiB",
            self.rests_on,
            *warnings,
        ]


def forecast(cells: Sequence[Cell], folder: Path, options: RunOptions) -> Forecast:
    """Say what a run would take, without running or writing anything.

    Each pair of a task and an optimizer has one trial, plugins in a process of their own. After `TRIAL_SECONDS` of
    trials none begins.

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
    budget = default_budget(options.device) if options.memory is None else options.memory
    tried, seconds, timed, memory, took, errors = 0, 0.0, 0.0, 0.0, 0.0, list[str]()
    with Work(options.timeout) as work:
        for pair in _pairs(left):
            if took > TRIAL_SECONDS:
                break
            found = work.answer(_make_trial(pair, options))
            if (error := found.failure or found.stopped_by) is not None:
                if isinstance(error, FileNotFoundError):
                    raise error
                errors.append(f"{' '.join(pair[0].key[:2])}: {error}")
                continue
            took += found.result["took_seconds"]
            tried += len(pair)
            seconds += sum(_seconds(cell, found.result) for cell in pair)
            timed += Trial(**found.result["single"]).step_seconds * TIMING_STEPS if options.timing else 0.0
            memory = max(memory, min(found.result["replica_bytes"], budget))
    done = len(cells) - len(left)
    return Forecast(len(cells), done, *count_steps(left), tried, seconds, timed, memory, errors)


def count_steps(cells: Sequence[Cell]) -> tuple[int, int]:
    """Count the steps of all replicas, in evaluation and in tuning over one grid or with a budget.

    Args:
        cells: of a run.
    """
    return (
        sum(cell.seeds * cell.task.horizon for cell in cells),
        round(sum(cell.tuning_seeds * RATES * cell.task.horizon * _grids(cell) for cell in cells)),
    )


def format_duration(seconds: float) -> str:
    """Write seconds in the unit in which people count them.

    Args:
        seconds: 0 or more.

    Example:
        >>> format_duration(45), format_duration(400), format_duration(9000)
        ('45 s', '7 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _pairs(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells by task and optimizer: their tracks share a trial."""
    pairs: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        pairs.setdefault((cell.key[0], cell.key[1]), []).append(cell)
    return list(pairs.values())


def _make_trial(pair: Sequence[Cell], options: RunOptions) -> Assignment:
    task, optimizer = pair[0].task, pair[0].optimizer
    if not (is_foreign(task) or is_foreign(optimizer)):
        task.require_data()
    tuning_count = max((cell.tuning_seeds for cell in pair if is_tuned(cell.track)), default=0)
    arguments = {"count": pair[0].seeds, "tuning_count": tuning_count, "options": asdict(options)}
    return Assignment(try_out, task, [optimizer], arguments)


def _is_finished(run: RunFolder, cell: Cell, options: RunOptions) -> bool:
    return run.is_finished("cells", cell_name(*cell.key), describe(cell, options))


def _seconds(cell: Cell, found: dict[str, dict[str, float]]) -> float:
    """Seconds of a cell's evaluation, and of its tuning over one grid or with its budget."""
    total = Trial(**found["evaluation"]).seconds(cell.task.horizon)
    if (grids := _grids(cell)) > 0:
        total += Trial(**found["tuning"]).seconds(cell.task.horizon * grids)
    return total


def _grids(cell: Cell) -> float:
    """How many grids' steps a cell's tuning takes. Trials of a budget run on the evaluation seeds too."""
    if (budget := parse_budget(cell.track)) is not None:
        return budget.trials / RATES * (1 + cell.seeds / cell.tuning_seeds)
    if cell.track != "tuned":
        return 0.0
    return (HALVING_SHARE if cell.halving else 1.0) + REFINED_SHARE
