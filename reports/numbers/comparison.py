"""One optimizer's final losses against another's on the same seeds: every table decides by this module."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.stats import Interval, paired_test, ratio_of_means
from l2obench.reports.numbers.counting import counted_losses

UNKNOWN = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Comparison:
    """What the losses of two optimizers on the same seeds say; a lower loss is better."""

    losses: NDArray[np.float64]
    """Final losses of the first on the seeds that both ran, `[seeds]`; infinite for a seed that failed."""
    reference: NDArray[np.float64]
    """Those of the second on the same seeds, `[seeds]`."""
    ratio: Interval
    """Mean final loss of the first ÷ mean final loss of the second, with its paired 95 % interval."""
    verdict: str
    """`better`, `worse`, `no clear difference`, or `not comparable: …` with the reason."""

    @property
    def seeds(self) -> int:
        """Seeds that both ran."""
        return len(self.losses)

    @property
    def identical(self) -> bool:
        """Whether every loss is the same."""
        return self.seeds > 0 and np.array_equal(self.losses, self.reference)

    # Not computed with the ratio: of thousands of comparisons, most tables show no p-value.
    @property
    def p_value(self) -> float:
        """Wilcoxon's signed-rank test, not corrected for the number of comparisons; NaN without common seeds."""
        return paired_test(self.losses, self.reference) if self.seeds else np.nan


def compare(rows: pd.DataFrame, other: pd.DataFrame) -> Comparison:
    """Compare two optimizers on the seeds that both ran. A failed seed counts as an infinite loss.

    Args:
        rows: cells of one optimizer on one task, in one track.
        other: cells of the optimizer that it is compared with; the ratio divides by its mean.
    """
    mine, others = common_seeds(rows, other)
    losses, reference = counted_losses(rows)[mine], counted_losses(other)[others]
    return Comparison(losses, reference, *_ratio_and_verdict(losses, reference))


def _ratio_and_verdict(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> tuple[Interval, str]:
    """The ratio of two mean losses over the same seeds, and what its interval says.

    Args:
        losses: final losses `[seeds]`, infinite for a seed that failed.
        reference: final losses of the other optimizer on the same seeds, `[seeds]`.
    """
    if not losses.size:
        return UNKNOWN, "not comparable: no common seeds"
    if losses.mean() < 0 or reference.mean() <= 0:
        return UNKNOWN, "not comparable: a mean loss is not positive"
    with np.errstate(invalid="ignore"):
        ratio = ratio_of_means(losses, reference)
    return ratio, "better" if ratio.high < 1 else "worse" if ratio.low > 1 else "no clear difference"


def paired(rows: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the seeds that both have, in the same order."""
    mine, others = common_seeds(rows, other)
    return rows.iloc[mine].reset_index(drop=True), other.iloc[others].reset_index(drop=True)


def common_seeds(rows: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the seeds that both have, in each of the two, by rising seed."""
    _, mine, others = np.intersect1d(rows["seed"].to_numpy(), other["seed"].to_numpy(), return_indices=True)
    return mine, others
