"""The typical contrast of pairs (Hodges–Lehmann) with the interval and p-value of Wilcoxon's signed-rank test.

Sources: Wilcoxon 1945; Hodges & Lehmann 1963, section 4; Pratt 1959 for pairs without a difference. Pratt ranks such
pairs with the others and then drops them. Discarding them before ranking, as Wilcoxon did, is not monotone: a pair that
gets worse could make the p-value for "better" smaller. scipy has the test (`scipy.stats.wilcoxon`), but not its exact
distribution with ties beyond 13 pairs, and no interval.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from l2obench.bench.stats.intervals import CONFIDENCE, Interval

Floats = NDArray[np.float64]

EXACT_UP_TO = 50
"""Pairs up to which p-values are exact: where scipy's `method="auto"` takes the normal approximation too."""


@dataclass(frozen=True)
class SignedRanks:
    """What pairs say together."""

    typical: Interval
    """The Hodges–Lehmann estimate and its interval, which excludes 0 if and only if `p_value` ≤ 1 − `confidence`."""
    p_value: float
    """Two-sided, for contrasts that are symmetric about 0."""
    p_greater: float
    """One-sided: small where the contrasts lie above 0."""


def signed_ranks(contrasts: ArrayLike, confidence: float = CONFIDENCE) -> SignedRanks:
    """Estimate the centre of paired contrasts, and test whether it is 0.

    The estimate is the median of all means of two contrasts, each with itself included (Walsh averages). The interval
    holds the shifts that the test does not reject. An end at 0 that the test rejects is moved to the next number.

    Args:
        contrasts: `[pairs]`; infinite ones rank beyond all others. Nothing here is NaN.
        confidence: of the interval.

    Returns:
        The estimate with its interval, and both p-values. Without a pair, the interval is unbounded and both are 1.

    Example:
        >>> signed_ranks([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).typical
        Interval(estimate=3.5, low=1.0, high=6.0)
    """
    values = np.sort(np.asarray(contrasts, dtype=np.float64))
    if not values.size:
        return SignedRanks(Interval(np.nan, -np.inf, np.inf), 1.0, 1.0)
    tail = (1 - confidence) / 2
    greater, less = p_greater(values), p_greater(-values)
    low, high = _lower_end(values, tail), -_lower_end(-values[::-1], tail)
    low = max(low, np.nextafter(0, 1)) if greater <= tail else min(low, 0.0)
    high = min(high, np.nextafter(0, -1)) if less <= tail else max(high, 0.0)
    return SignedRanks(Interval(hodges_lehmann(values), low, high), min(1.0, 2 * min(greater, less)), greater)


def p_greater(contrasts: ArrayLike) -> float:
    """One-sided p-value: how probable a signed-rank sum at least as large is, if every sign is a coin's.

    Exact for up to `EXACT_UP_TO` pairs, whatever is tied; beyond, the normal approximation with its variance corrected
    for ties. 1 where no pair differs.

    Args:
        contrasts: `[pairs]`; infinite ones rank beyond all others.

    Example:
        >>> p_greater([1.0, 2.0, 3.0])
        0.125

    Source: Wilcoxon 1945; Pratt 1959 for pairs without a difference.
    """
    values = np.asarray(contrasts, dtype=np.float64)
    ranks = stats.rankdata(np.abs(values))
    ranks, positive = ranks[values != 0], values[values != 0] > 0
    if not ranks.size:
        return 1.0
    if values.size > EXACT_UP_TO:
        spread = np.sqrt((ranks**2).sum()) / 2
        return float(stats.norm.sf((ranks[positive].sum() - ranks.sum() / 2) / spread))
    doubled = np.rint(2 * ranks).astype(int)  # ranks of ties are halves
    return float(_sums(doubled)[doubled[positive].sum() :].sum())


def hodges_lehmann(contrasts: ArrayLike) -> float:
    """The median of the Walsh averages of contrasts `[pairs]`.

    The average of −∞ and ∞ counts half as each. Where the median falls between −∞ and ∞, it is 0.

    Args:
        contrasts: `[pairs]`, at least one.

    Example:
        >>> hodges_lehmann([1.0, 2.0, 6.0])
        2.75

    Source: Hodges & Lehmann 1963, section 4.
    """
    walsh = _Walsh(np.sort(np.asarray(contrasts, dtype=np.float64)))
    ends = {walsh.at(walsh.weight / 2), -_Walsh(-walsh.values[::-1]).at(walsh.weight / 2)}
    return 0.0 if ends == {-np.inf, np.inf} else float(sum(ends) / len(ends))


def _sums(ranks: NDArray[np.int_]) -> Floats:
    """How probable each sum of ranks `0 … Σ ranks` is, if every rank is in it by a coin."""
    probabilities = np.zeros(ranks.sum() + 1)
    probabilities[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(probabilities)
        shifted[rank:] = probabilities[: len(probabilities) - rank]
        probabilities = (probabilities + shifted) / 2
    return probabilities


def _lower_end(values: Floats, tail: float) -> float:
    """The shift up to which "greater" is rejected at `tail`, of sorted values.

    The p-value is a step function that rises with the shift, and its steps are the Walsh averages: values are tested in
    the middle between two of them.
    """
    walsh = _Walsh(values)
    count = values.size
    if count > EXACT_UP_TO:
        _, ties = np.unique(values, return_counts=True)
        variance = count * (count + 1) * (2 * count + 1) / 24 - (ties.astype(float) ** 3 - ties).sum() / 48
        # The test rejects while the weight below the shift is at most this.
        rejected = walsh.weight / 2 - stats.norm.isf(tail) * np.sqrt(variance)
        return walsh.beyond(rejected)
    if len(np.unique(values)) == count and not np.isinf(values[[0, -1]]).all():
        return walsh.beyond(_most_rejected(count, tail))
    steps = walsh.distinct()
    if not steps.size:  # all are infinite: one shift is as good as another
        return -np.inf if p_greater(values) > tail else np.inf

    def accepted(cell: int) -> bool:
        if cell == 0:
            shift = steps[0] - 1 - abs(steps[0])
        elif cell == len(steps):
            shift = steps[-1] + 1 + abs(steps[-1])
        else:
            shift = (steps[cell - 1] + steps[cell]) / 2
        return p_greater(values - shift) > tail

    first = bisect_left(range(len(steps) + 1), True, key=accepted)
    if first == 0:
        return -np.inf
    return float(steps[first - 1]) if first <= len(steps) else np.inf


@lru_cache(maxsize=1024)
def _most_rejected(count: int, tail: float) -> int:
    """The largest sum of the ranks below a shift at which "greater" is rejected, without ties; −1 if none is."""
    return int(np.searchsorted(np.cumsum(_sums(2 * np.arange(1, count + 1))[::2]), tail, side="right")) - 1


class _Walsh:
    """The means of all pairs of sorted values, each with itself included, by their order."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self._finite = values[np.isfinite(values)]
        count, finite = values.size, self._finite.size
        below, above = np.isneginf(values).sum(), np.isposinf(values).sum()
        self.weight = count * (count + 1) / 2
        self._inside = finite * (finite + 1) // 2
        self._below = below * (below + 1) / 2 + below * finite + below * above / 2

    def distinct(self) -> Floats:
        """The finite ones, each once, in order."""
        rows, columns = np.triu_indices(self._finite.size)
        return np.unique(self._finite[rows] / 2 + self._finite[columns] / 2)

    def at(self, weight: float) -> float:
        """The smallest average that, with those below it, makes up at least this weight."""
        return self._of_order(int(np.ceil(weight - self._below)))

    def beyond(self, weight: float) -> float:
        """The smallest average that, with those below it, makes up more than this weight."""
        return self._of_order(int(np.floor(weight - self._below)) + 1)

    def _of_order(self, order: int) -> float:
        """The finite average of an order, counted from 1; infinite where there is none."""
        if order <= 0:
            return -np.inf
        if order > self._inside:
            return np.inf
        low, high = self._finite[0], self._finite[-1]
        nothing = np.finfo(np.float64).eps * max(abs(low), abs(high))
        # The averages of 8,000 pairs would take 256 MB; counting them takes none.
        while high - low > nothing and low < (middle := low / 2 + high / 2) < high:
            low, high = (low, middle) if self._up_to(middle) >= order else (middle, high)
        return self._nearest(low if self._up_to(low) >= order else high)

    def _nearest(self, value: float) -> float:
        """The average of two values that is nearest: halving ends within rounding of it."""
        last = self._finite.size - 1
        partners = np.searchsorted(self._finite, 2 * value - self._finite)
        places = np.clip(np.stack([partners - 1, partners, partners + 1]), 0, last)
        averages = (self._finite / 2 + self._finite[places] / 2).ravel()
        return float(averages[np.abs(averages - value).argmin()])

    def _up_to(self, value: float) -> int:
        """How many finite averages are at most this."""
        ends = np.searchsorted(self._finite, 2 * value - self._finite, side="right")
        # (i, j) and (j, i) are both in the sum, (i, i) once.
        return int((ends.sum() + np.searchsorted(self._finite, value, side="right")) // 2)
