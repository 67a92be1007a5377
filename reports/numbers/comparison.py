"""One optimizer's final losses against another's on the same seeds: every table decides by this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from l2obench.bench.stats import Interval, PairedComparison, compare_losses, decide
from l2obench.reports.cells.table import CellRows
from l2obench.reports.floors import floor_of


@dataclass(frozen=True)
class Comparison:
    """What the losses of two optimizers on the same seeds say; a lower loss is better."""

    found: PairedComparison
    """The comparison of the verdict core."""
    identical: bool
    """Every loss is the same."""

    @property
    def seeds(self) -> int:
        """Seeds that both ran."""
        return self.found.seeds

    @property
    def ratio(self) -> Interval:
        """Mean final loss of the first ÷ mean final loss of the second; NaN where a loss is negative."""
        return self.found.means


def compare(rows: CellRows, other: CellRows) -> Comparison:
    """Compare two optimizers on the seeds that both ran. A failed seed counts as an infinite loss.

    Losses at or below the floor of their task count as the floor.

    Args:
        rows: of one optimizer on one task, in one track.
        other: of the optimizer that it is compared with; the ratio divides by its mean.

    Returns:
        The comparison; `seeds` is 0 where they have none in common.
    """
    mine, others = common_seeds(rows, other)
    losses, reference = rows.losses[mine], other.losses[others]
    return Comparison(
        _compared(losses.tobytes(), reference.tobytes(), floor_of(rows, other)),
        bool(losses.size) and np.array_equal(losses, reference),
    )


# Several tables compare the same pairs.
@lru_cache(maxsize=50_000)
def _compared(losses: bytes, reference: bytes, floor: float) -> PairedComparison:
    return compare_losses(np.frombuffer(losses), np.frombuffer(reference), floor)


def outcomes(comparisons: Sequence[Comparison | None]) -> list[tuple[str, float]]:
    """The verdict of each comparison and its p-value, corrected by Holm's method for the number of comparisons.

    `not comparable: no common seeds` where there are none; nothing, and NaN, where there is no comparison.

    Args:
        comparisons: all of one table: Holm's method corrects for their number.

    Returns:
        Verdict and corrected p-value of each, in the same order.
    """
    compared = [item.found for item in comparisons if item is not None and item.seeds]
    decided = iter(decide(compared))
    said: list[tuple[str, float]] = []
    for item in comparisons:
        if item is None:
            said.append(("", float("nan")))
        elif not item.seeds:
            said.append(("not comparable: no common seeds", float("nan")))
        else:
            verdict = next(decided)
            said.append((verdict.outcome, verdict.p_value))
    return said


def paired(rows: CellRows, other: CellRows) -> tuple[CellRows, CellRows]:
    """The rows of the seeds that both have, in the same order.

    Args:
        rows: one optimizer's.
        other: another optimizer's.

    Returns:
        Both; without a common seed they have no rows.
    """
    mine, others = common_seeds(rows, other)
    return rows.take(mine), other.take(others)


def common_seeds(rows: CellRows, other: CellRows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the seeds that both have, in each of the two, by rising seed.

    Args:
        rows: with each seed once.
        other: the same of another optimizer.
    """
    if rows.seeds_rise and np.array_equal(rows.seeds, other.seeds):
        every = np.arange(len(rows))
        return every, every
    _, mine, others = np.intersect1d(rows.seeds, other.seeds, return_indices=True)
    return mine, others
