"""What a task's numbers are held against, whoever else ran: its fixed target, and tuned Adam on the same seeds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l2obench.bench.stats import REFERENCE, relative_cost, speed_up, steps_to_seconds, stored_targets
from l2obench.reports.cells.table import CellRows, TaskRows, by_optimizer
from l2obench.reports.numbers.comparison import paired
from l2obench.reports.numbers.counting import best_tuned_baseline, counted_steps, strongest_track

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TargetLoss:
    """The loss to reach on a task; `source` is `stored`, or `this run` where no target of its version is stored."""

    loss: float
    source: str


def target_loss(task: TaskRows) -> TargetLoss:
    """The fixed target of a task.

    Without a stored one, the median final loss of the best tuned baseline among these rows is used: it holds within
    this run, and moves if a better baseline is added.

    Args:
        task: the rows of one task in one run.
    """
    if stored := stored_targets().get((task.task, int(task.first("task_version")))):
        return TargetLoss(stored.loss, "stored")
    baseline = best_tuned_baseline(task)
    return TargetLoss(np.nan if baseline is None else float(np.median(baseline.losses)), "this run")


def reference(task: TaskRows) -> CellRows | None:
    """The rows of tuned Adam on a task; None if it did not run.

    Args:
        task: the rows of one task in one run.
    """
    return next((cell for cell in task.cells if (cell.optimizer, cell.track) == (REFERENCE, "tuned")), None)


def main_tracks(task: TaskRows) -> Iterator[CellRows]:
    """The rows of each optimizer of a task in its strongest track.

    Args:
        task: the rows of one task in one run.
    """
    for cells in by_optimizer(task.cells).values():
        by_track = {cell.track: cell for cell in cells}
        yield by_track[strongest_track(by_track)]


def cost_ratios(rows: CellRows, adam: CellRows, target: float) -> tuple[Floats, Floats]:
    """Time to the target divided by tuned Adam's on the same seeds, in steps and in seconds, each `[common seeds]`.

    A seed that does not reach the target is infinite. Where Adam does not reach it within its horizon, its horizon
    is used: it takes longer, so the ratio is at most this. Seconds are steps at the pace of the serial timing pass;
    they are missing where it did not run.

    Args:
        rows: one optimizer's rows on a task.
        adam: tuned Adam's.
        target: the loss to reach.

    Returns:
        Ratios in steps and ratios in seconds; below 1 the optimizer is faster than Adam.
    """
    own, other = paired(rows, adam)
    if not len(own):
        return np.empty(0), np.empty(0)
    steps = counted_steps(own, target)
    adam_steps = np.minimum(counted_steps(other, target), other.numbers("steps"))
    in_steps = relative_cost(steps, adam_steps)
    paces = [cell.step_seconds[1] for cell in (own, other)]
    if not np.isfinite(paces).all():
        return in_steps, np.full(len(steps), np.nan)
    return in_steps, relative_cost(steps_to_seconds(steps, paces[0]), steps_to_seconds(adam_steps, paces[1]))


def speed_ups(rows: CellRows, adam: CellRows) -> Floats:
    """Adam's steps to each seed's final loss over the steps taken, `[common seeds]`; 0 for a seed that failed.

    Args:
        rows: one optimizer's rows on a task, with their trajectories.
        adam: tuned Adam's.
    """
    own, other = paired(rows, adam)
    pairs = zip(own.trajectories, other.trajectories, strict=True)
    known = own.ok & np.array([mine is not None and theirs is not None for mine, theirs in pairs], dtype=bool)
    factors = np.zeros(len(own))
    if known.any():
        losses, others = (
            np.stack([found for found, used in zip(cell.trajectories, known, strict=True) if used])
            for cell in (own, other)
        )
        window = min(int(own.first("final_window")), losses.shape[1], others.shape[1])
        factors[known] = speed_up(losses, others, window)
    return factors
