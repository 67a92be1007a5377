"""The typical contrast of pairs (Hodges–Lehmann) with the interval and p-value of Wilcoxon's signed-rank test.

Sources: Wilcoxon 1945; Hodges & Lehmann 1963, section 4; Pratt 1959 for pairs without a difference. Pratt ranks such
pairs with the others and then drops them. Discarding them before ranking, as Wilcoxon did, is not monotone: a pair that
gets worse could make the p-value for "better" smaller. scipy has the test (`scipy.stats.wilcoxon`), but not its exact
distribution with ties beyond 13 pairs, and no interval.

The test assumes contrasts that are symmetric about their centre. Where they are skewed, the signed-rank sum varies more
or less than it assumes, with any number of pairs. So its variance is also estimated from the contrasts themselves, as
that of a U-statistic (Hoeffding 1948, section 5; Sen 1960), and the larger of the two is used.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from l2obench.bench.stats.intervals import CONFIDENCE, Interval
from l2obench.bench.stats.walsh import Walsh

Floats = NDArray[np.float64]

EXACT_UP_TO = 50
"""Pairs up to which p-values are exact: where scipy's `method="auto"` takes the normal approximation too."""


@dataclass(frozen=True)
class SignedRanks:
    """What pairs say together."""

    typical: Interval
    """The Hodges–Lehmann estimate and its interval, which excludes 0 if and only if `p_value` ≤ 1 − `confidence`."""
    p_value: float
    """Two-sided, for contrasts whose centre is 0."""
    p_greater: float
    """One-sided: small where the contrasts lie above 0. Always that of the test, for contrasts symmetric about 0."""


def signed_ranks(contrasts: ArrayLike, confidence: float = CONFIDENCE, symmetric: bool = False) -> SignedRanks:
    """Estimate the centre of paired contrasts, and test whether it is 0.

    The estimate is the median of all means of two contrasts, each with itself included (Walsh averages). The interval
    holds the shifts that the test does not reject. An end at 0 that the test rejects is moved to the next number.

    Args:
        contrasts: `[pairs]`; infinite ones rank beyond all others. Nothing here is NaN.
        confidence: of the interval.
        symmetric: whether the contrasts are symmetric about their centre, as where the two sides could be exchanged.
            Else the interval and the two-sided p-value are widened by what `skewness_factor` finds.

    Returns:
        The estimate with its interval, and both p-values. Without a pair, the interval is unbounded and both are 1.

    Example:
        >>> signed_ranks([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).typical
        Interval(estimate=3.5, low=1.0, high=6.0)
    """
    values = np.sort(np.asarray(contrasts, dtype=np.float64))
    if not values.size:
        return SignedRanks(Interval(np.nan, -np.inf, np.inf), 1.0, 1.0)
    centre = hodges_lehmann(values)
    factor = 1.0 if symmetric else skewness_factor(values, centre)
    tail = _narrowed((1 - confidence) / 2, 1 / factor)
    greater, less = _tails(values)
    low, high = _lower_end(values, tail), -_lower_end(-values[::-1], tail)
    low = max(low, np.nextafter(0, 1)) if greater <= tail else min(low, 0.0)
    high = min(high, np.nextafter(0, -1)) if less <= tail else max(high, 0.0)
    p_value = min(1.0, 2 * _narrowed(min(greater, less), factor))
    return SignedRanks(Interval(centre, low, high), p_value, greater)


def rejects_no_difference(contrasts: ArrayLike, confidence: float = CONFIDENCE) -> bool:
    """Say whether `signed_ranks` gives a p-value of at most 1 − `confidence`; many times as fast, without an interval.

    Args:
        contrasts: `[pairs]`, at least one.
        confidence: of the interval that would then exclude 0.

    Example:
        >>> rejects_no_difference([1.0] * 12), rejects_no_difference([1.0, -2.0] * 6)
        (True, False)
    """
    values = np.asarray(contrasts, dtype=np.float64)
    p_value = min(_tails(values))
    # Skewness can only raise it, and its centre is what takes time.
    if p_value > (1 - confidence) / 2:
        return False
    return 2 * _narrowed(p_value, skewness_factor(values, hodges_lehmann(values))) <= 1 - confidence


def skewness_factor(contrasts: ArrayLike, centre: float) -> float:
    """How much more the signed-rank sum varies than the test assumes: a ratio of standard deviations, at least 1.

    With v_i the share of contrasts x_j for which x_i + x_j > 2 · centre, the variance of the sum over n contrasts is
    n³ Var(v) to first order. Where they are symmetric, v is uniform and Var(v) = 1/12, which the test assumes.

    Args:
        contrasts: `[pairs]`.
        centre: their Hodges–Lehmann estimate.

    Returns:
        √(12 Var(v)), or 1 where that is less or the centre is infinite.

    Example:
        >>> skewness_factor([-3.0, -1.0, 1.0, 3.0], centre=0.0)
        1.0
        >>> skewed = [0.0, 0.1, 0.2, 0.3, 5.0, 9.0]
        >>> round(skewness_factor(skewed, hodges_lehmann(skewed)), 3)
        1.063

    Source: Hoeffding 1948, section 5, for U-statistics; Sen 1960 for the estimate.
    """
    values = np.sort(np.asarray(contrasts, dtype=np.float64))
    if not np.isfinite(centre):
        return 1.0
    count, partners = values.size, 2 * centre - values
    # How many x_j lie below, twice, since one at the partner is half below it. Whole numbers: exchanged sides then give
    # the same to the last bit.
    below = np.searchsorted(values, partners, side="left") + np.searchsorted(values, partners, side="right")
    spread = count * int((below**2).sum()) - int(below.sum()) ** 2
    return max(1.0, float(np.sqrt(3 * spread)) / count**2)


def _narrowed(p_value: float, factor: float) -> float:
    """A one-sided p-value if the statistic's standard deviation is so many times what the test assumed."""
    return p_value if factor == 1 else float(special.ndtr(special.ndtri(p_value) / factor))


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
    return _tails(np.asarray(contrasts, dtype=np.float64))[0]


def _tails(values: Floats) -> tuple[float, float]:
    """`p_greater` of contrasts, and of the same with all signs exchanged."""
    sizes, places, counts = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    # The ranks of ties are their mean, a half at times.
    doubled = (2 * np.cumsum(counts) - counts + 1)[places]
    if not sizes.size or not sizes[-1]:
        return 1.0, 1.0
    doubled, positive = doubled[values != 0], values[values != 0] > 0
    above, total = int(doubled[positive].sum()), int(doubled.sum())
    if values.size > EXACT_UP_TO:
        ranks = doubled / 2
        distance = (above / 2 - total / 4) / (np.sqrt((ranks**2).sum()) / 2)
        return float(special.ndtr(-distance)), float(special.ndtr(distance))
    at_least = _at_least(np.sort(doubled).tobytes())
    return float(at_least[above]), float(at_least[total - above])


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
    walsh = Walsh(np.sort(np.asarray(contrasts, dtype=np.float64)))
    ends = {walsh.at(walsh.weight / 2), -Walsh(-walsh.values[::-1]).at(walsh.weight / 2)}
    return 0.0 if ends == {-np.inf, np.inf} else float(sum(ends) / len(ends))


# Without ties, all pairs of one number have the same ranks.
@lru_cache(maxsize=256)
def _at_least(ranks: bytes) -> Floats:
    """How probable a sum of at least `0 … Σ ranks` is. Of 50 ranks these are fractions that float64 holds exactly."""
    return np.cumsum(_sums(np.frombuffer(ranks, dtype=np.int64))[::-1])[::-1]


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
    walsh = Walsh(values)
    count = values.size
    if count > EXACT_UP_TO:
        _, ties = np.unique(values, return_counts=True)
        variance = count * (count + 1) * (2 * count + 1) / 24 - (ties.astype(float) ** 3 - ties).sum() / 48
        # The test rejects while the weight below the shift is at most this.
        rejected = walsh.weight / 2 - -special.ndtri(tail) * np.sqrt(variance)
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


def _most_rejected(count: int, tail: float) -> int:
    """The largest sum of the ranks below a shift at which "greater" is rejected, without ties; −1 if none is."""
    return int(np.searchsorted(_untied(count), tail, side="right")) - 1


@lru_cache(maxsize=EXACT_UP_TO)
def _untied(count: int) -> Floats:
    """How probable a sum of ranks `1 … count` up to each whole number is, without ties."""
    return np.cumsum(_sums(2 * np.arange(1, count + 1))[::2])
