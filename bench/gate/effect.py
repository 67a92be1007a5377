"""How much worse the final losses of one cell are than those of another on the same seeds, and how sure that is.

Two measures, because a mistake may show in one alone. `typical` is the geometric mean of the seeds' own ratios: every
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

Measure = Literal["typical", "mean"]


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


def effects(base: ArrayLike, head: ArrayLike) -> list[Effect]:
    """Both measures on finite final losses `[seeds]`, paired by position; `typical` only where all are positive.

    Each is the paired t-test of a difference: of the logarithms, and of the losses in units of BASE's mean size. Where
    the two sides could be exchanged, differences are symmetric about zero, and on heavy tails the t-test then errs
    towards silence (Benjamini 1983). It cannot be trusted where all differences are alike, so no p-value is below
    that of the sign test with all k changed seeds on one side, 2^-k.

    Raises:
        ValueError: the sides differ in shape, are empty, or hold a loss that is not finite.
    """
    before, after = np.asarray(base, dtype=np.float64), np.asarray(head, dtype=np.float64)
    if before.shape != after.shape or before.ndim != 1 or before.size == 0:
        raise ValueError(f"expected two paired samples of losses, got shapes {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("final losses must be finite; seeds that failed are compared by their status")
    found = []
    if (before > 0).all() and (after > 0).all():
        found.append(_typical(np.log(after) - np.log(before)))
    found.append(_mean(before, after))
    return found


def smallest_p_value(seeds: int) -> float:
    """What a comparison of so many seeds can reach at best."""
    return 2.0**-seeds


def _typical(differences: NDArray[np.float64]) -> Effect:
    estimate, low, high, p_value = _paired(differences)
    ratio, low, high = (math.exp(min(value, 700.0)) for value in (estimate, low, high))
    return Effect("typical", ratio, low, high, p_value)


def _mean(before: NDArray[np.float64], after: NDArray[np.float64]) -> Effect:
    """Losses that can be negative have no ratio: their change in units of BASE's mean size stands for it."""
    size = float(np.abs(before).mean()) or float(np.abs(after).mean()) or 1.0
    estimate, low, high, p_value = _paired(after / size - before / size)
    return Effect("mean", 1 + estimate, 1 + low, 1 + high, p_value)


def _paired(differences: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean of paired differences `[seeds]`, its 95 % interval, and the p-value for a mean not above zero."""
    estimate = float(differences.mean())
    changed = int(np.count_nonzero(differences))
    if changed == 0:
        return 0.0, 0.0, 0.0, 1.0
    if differences.size < 2:
        return estimate, -math.inf, math.inf, smallest_p_value(1) if estimate > 0 else 1.0
    with np.errstate(over="ignore"):  # losses near the largest number: an infinite spread shows nothing
        spread = float(differences.std(ddof=1))
    if math.isinf(spread):
        return estimate, -math.inf, math.inf, 1.0
    if spread <= 1e-12 * abs(estimate):  # all alike: t is infinite, or noise
        return estimate, estimate, estimate, smallest_p_value(changed) if estimate > 0 else 1.0
    test = stats.ttest_1samp(differences, 0.0, alternative="greater")
    low, high = stats.t.interval(CONFIDENCE, differences.size - 1, estimate, spread / math.sqrt(differences.size))
    return estimate, float(low), float(high), max(float(test.pvalue), smallest_p_value(changed))
