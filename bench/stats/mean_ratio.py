"""Means side by side: the ratio of mean losses, the paper's measure, and the mean difference of scores.

On real trajectories the percentile bootstrap covers the ratio 39 to 94 times in a hundred instead of 95, and its misses
favour one side. Dividing by each resample's own standard error takes most of that away (docs/protocol.md, "Coverage").
scipy's bootstrap has no studentised interval.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from l2obench.bench.stats.intervals import CONFIDENCE, SEED, Interval

Floats = NDArray[np.float64]

FEW = 100
"""Seeds under which the interval is known to be too narrow; tables say so."""

# 4,000 resamples know a tail of 2.5 % to ± 0.25 %. Of many seeds, fewer: their studentised ratio is nearly normal.
MOST_RESAMPLES, FEWEST_RESAMPLES, DRAWS = 4000, 1000, 4_000_000

KEPT = 200
"""Seeds up to which the resamples stay in memory: 6 MB."""
_AT_ONCE = 400_000  # counts of a batch stay in the processor's cache


def mean_ratio(first: Floats, second: Floats) -> Interval:
    """Mean of one optimizer's losses over the mean of another's on the same seeds, with its 95 % interval.

    The interval is that of the log ratio; its standard error is linearised (delta method). A mean over functions that
    can diverge is infinite, not large: with an infinite loss on one side, the ratio and its interval are infinite, or
    0. They are NaN where both means are infinite or a mean is not positive. Repeatable to the last bit.

    Args:
        first: final losses `[seeds]`.
        second: those of the other on the same seeds, `[seeds]`.

    Example:
        >>> mean_ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
        Interval(estimate=0.5, low=0.5, high=0.5)

    Source: Efron & Tibshirani 1993, section 12.5 (bootstrap-t).
    """
    if not first.size or (np.isposinf(first).any() and np.isposinf(second).any()):
        return Interval(np.nan, np.nan, np.nan)
    if np.isposinf(first).any() or np.isposinf(second).any():
        ratio = np.inf if np.isposinf(first).any() else 0.0
        return Interval(ratio, ratio, ratio)
    # In units of the largest loss, so that no square overflows.
    first_unit, second_unit = np.abs(first).max(), np.abs(second).max()
    a, b = first / (first_unit or 1.0), second / (second_unit or 1.0)
    if a.mean() <= 0 or b.mean() <= 0:
        return Interval(np.nan, np.nan, np.nan)
    with np.errstate(over="ignore", divide="ignore"):
        unit = np.exp(np.log(first_unit) - np.log(second_unit))
        scale = first_unit / second_unit if np.isfinite(unit) and unit > 0 else unit
    estimate = np.log(a.mean() / b.mean())
    ratio = float(a.mean() / b.mean() * scale)
    if a.size < 2:
        return Interval(ratio, 0.0, np.inf)
    spread = float(_standard_errors(_moments(a, b).mean(-1), a.size))
    if spread <= 1e-12:  # every loss is the same multiple of the other's
        return Interval(ratio, ratio, ratio)
    centred = _resampled(a, b, estimate)
    low, high = np.quantile(centred, [(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])
    with np.errstate(over="ignore"):
        ends = [float(np.exp(estimate - quantile * spread) * scale) for quantile in (low, high)]
    return Interval(ratio, min(ends[0], ratio), max(ends[1], ratio))


def mean_difference(differences: Floats) -> Interval:
    """The mean of paired differences with Student's 95 % interval.

    Args:
        differences: `[seeds]`, at least one. An infinite one makes the mean infinite; with both signs it is NaN.

    Example:
        >>> found = mean_difference(np.array([1.0, 2.0, 3.0]))
        >>> found.estimate, round(found.low, 3), round(found.high, 3)
        (2.0, -0.484, 4.484)

    Source: Student 1908.
    """
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        mean = float(differences.mean())
    if not np.isfinite(mean):
        return Interval(mean, mean, mean)
    if differences.size < 2:
        return Interval(mean, -np.inf, np.inf)
    error = float(differences.std(ddof=1) / np.sqrt(differences.size))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, differences.size - 1)) * error
    return Interval(mean, mean - half, mean + half)


def _resampled(a: Floats, b: Floats, estimate: float) -> Floats:
    """Studentised log ratios of resamples of pairs: the distance of each from the estimate, in standard errors."""
    columns, found = _moments(a, b), []
    for times in _kept_times(a.size) if a.size <= KEPT else _times(a.size):
        means = columns @ times / a.size
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.log(means[0] / means[1]) - estimate
            spreads = _standard_errors(means, a.size)
            # All pairs of a resample may be one pair: its distance is then infinitely many standard errors, or none.
            studentised = np.where(spreads > 1e-12, distances / spreads, np.sign(distances) * np.inf)
        found.append(np.nan_to_num(studentised, nan=0.0, posinf=1e9, neginf=-1e9))
    return np.concatenate(found)


def _times(seeds: int) -> Iterator[Floats]:
    """How often each resample holds each seed, `[seeds, resamples]` in parts; the same for every pair of samples."""
    random = np.random.default_rng(SEED)
    resamples = int(np.clip(DRAWS / seeds, FEWEST_RESAMPLES, MOST_RESAMPLES))
    for first in range(0, resamples, rows := max(1, _AT_ONCE // seeds)):
        count = min(rows, resamples - first)
        drawn = random.integers(seeds, size=(count, seeds), dtype=np.int32)
        drawn += np.arange(0, count * seeds, seeds, dtype=np.int32)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=count * seeds).reshape(count, seeds)
        yield times.T.astype(np.float64)


# A table compares pairs of samples of one size: drawing their resamples takes most of the time.
@lru_cache(maxsize=2)
def _kept_times(seeds: int) -> list[Floats]:
    return list(_times(seeds))


def _moments(a: Floats, b: Floats) -> Floats:
    """What a standard error is made of, `[5, seeds]`."""
    return np.stack([a, b, a * a, b * b, a * b])


def _standard_errors(means: Floats, count: int) -> Floats:
    """Of log(mean a / mean b), from the means of `_moments`, `[5, ...]`: the spread of a/ā − b/b̄ over √count."""
    a, b, aa, bb, ab = means
    variance = aa / a**2 + bb / b**2 - 2 * ab / (a * b)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0) / (count - 1)))
