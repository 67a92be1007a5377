"""How much worse the final losses of one cell are than those of another on the same seeds, and how sure that is.

Two measures, because a mistake may show in one alone. `typical` is the typical ratio of the verdict core: every
function counts alike. `mean` is the ratio of the mean losses, what learned optimizers are trained for: on functions of
very different difficulty the hard ones decide it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from l2obench.bench.stats.intervals import CONFIDENCE
from l2obench.bench.stats.pairs import FLOOR, Pairs, pair_losses
from l2obench.bench.stats.signed_rank import signed_ranks

Measure = Literal["typical", "mean"]

# Beyond these exponents a ratio is shown as what no float64 loss can exceed.
_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Effect:
    """Final loss of HEAD over that of BASE: above 1 is worse."""

    measure: Measure
    ratio: float
    low: float
    """Lower end of the 95 % interval; 1 is no change."""
    high: float
    p_value: float
    """One-sided, for "not worse"; not yet corrected for the number of comparisons."""
    changed: int = 0
    """Seeds whose losses differ."""


def effects(base: ArrayLike, head: ArrayLike, floor: float = FLOOR) -> list[Effect]:
    """Both measures on finite final losses `[seeds]`, paired by position.

    `typical` is the Hodges–Lehmann estimate with Wilcoxon's signed-rank test. `mean` is the ratio of the means with the
    interval of its logarithm, and the paired t-test of the losses. Where the two sides could be exchanged, differences
    are symmetric about zero, and on heavy tails the t-test then errs towards silence (Benjamini 1983). It cannot be
    trusted where all differences are alike, so its p-value is never below that of the sign test with all k changed
    seeds on one side, 2^-k.

    Args:
        base: BASE's final losses.
        head: HEAD's on the same seeds.
        floor: the task's; losses at or below it are equal.

    Returns:
        The effect by `typical`, then that by `mean`.

    Raises:
        ValueError: the sides differ in shape, are empty, or hold a loss that is not finite.
    """
    before, after = np.asarray(base, dtype=np.float64), np.asarray(head, dtype=np.float64)
    if before.shape != after.shape or before.ndim != 1 or before.size == 0:
        raise ValueError(f"expected two paired samples of losses, got shapes {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("final losses must be finite; seeds that failed are compared by their status")
    pairs = pair_losses(after, before, floor)
    return [_typical(pairs), _mean(pairs)]


def smallest_p_value(seeds: int) -> float:
    """The smallest p-value that a one-sided comparison of so many seeds can have: all signs are equal.

    Args:
        seeds: pairs that are compared.

    Example:
        >>> smallest_p_value(10)
        0.0009765625
    """
    return 2.0**-seeds


def _typical(pairs: Pairs) -> Effect:
    # Without a regression the two sides could be exchanged.
    found = signed_ranks(pairs.contrasts, symmetric=True)
    ends = (found.typical.estimate, found.typical.low, found.typical.high)
    if pairs.measure == "difference":  # no ratio: the change in units of BASE's mean size stands for it
        size = _mean_size(pairs.second, pairs.first)
        ratio, low, high = (1 + end / size for end in ends)
    else:
        ratio, low, high = (math.exp(min(end, _LARGEST_LOG)) for end in ends)
    # An interval that ends beside no change ends beside 1.
    low = max(low, math.nextafter(1, 2)) if found.typical.low > 0 else low
    high = min(high, math.nextafter(1, 0)) if found.typical.high < 0 else high
    return Effect("typical", ratio, low, high, found.p_greater, int(np.count_nonzero(pairs.contrasts)))


def _mean(pairs: Pairs) -> Effect:
    before, after = pairs.second, pairs.first
    size = _mean_size(before, after)
    differences = after / size - before / size
    estimate, low, high, p_value = _paired(differences)
    low, high = (1 + low, 1 + high) if pairs.measure == "difference" else _ratio_interval(before, after, 1 + estimate)
    return Effect("mean", 1 + estimate, low, high, p_value, int(np.count_nonzero(differences)))


def _ratio_interval(before: NDArray[np.float64], after: NDArray[np.float64], ratio: float) -> tuple[float, float]:
    """The 95 % interval of a ratio of means, from the linearised standard error of its logarithm (delta method)."""
    if before.size < 2:
        return 0.0, math.inf
    # Each in units of its largest, so that no sum overflows. All at a floor of 0 are alike.
    shares = [losses / (losses.max() or 1.0) for losses in (before, after)]
    spread = (shares[1] / (shares[1].mean() or 1.0) - shares[0] / (shares[0].mean() or 1.0)).std(ddof=1)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, before.size - 1) * float(spread) / math.sqrt(before.size)
    return ratio * math.exp(-half), ratio * math.exp(half)


def _mean_size(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """The mean size of BASE's losses, or of HEAD's where those are 0."""
    for losses in (np.abs(before), np.abs(after)):
        if (largest := losses.max()) > 0:  # divided first: a sum of losses near the largest number overflows
            return float((losses / largest).mean() * largest)
    return 1.0


def _paired(differences: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean of paired differences `[seeds]`, its 95 % interval, and the p-value for a mean not above zero."""
    unit = float(np.abs(differences).max())
    changed = int(np.count_nonzero(differences))
    if changed == 0:
        return 0.0, 0.0, 0.0, 1.0
    scaled = differences / unit
    mean = float(scaled.mean())
    if scaled.size < 2:
        return mean * unit, -math.inf, math.inf, smallest_p_value(1) if mean > 0 else 1.0
    spread = float(scaled.std(ddof=1))
    if spread <= 1e-12 * abs(mean):  # all alike: t is infinite, or noise
        return mean * unit, mean * unit, mean * unit, smallest_p_value(changed) if mean > 0 else 1.0
    test = stats.ttest_1samp(scaled, 0.0, alternative="greater")
    low, high = stats.t.interval(CONFIDENCE, scaled.size - 1, mean, spread / math.sqrt(scaled.size))
    p_value = max(float(test.pvalue), smallest_p_value(changed))
    return mean * unit, float(low) * unit, float(high) * unit, p_value
