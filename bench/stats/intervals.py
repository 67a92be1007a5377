"""Estimates with their 95 % intervals: interquartile means, medians, ratios of means. Repeatable to the last bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
# So many resamples know a tail of 2.5 % to ± 0.16 %.
RESAMPLES = 10_000
# Any number serves. It is fixed, so that a table made twice from the same results has the same intervals.
SEED = 20161130
# Positions that one step resamples: they fit a processor's cache. And how many are kept for the next sample (40 MB).
AT_ONCE, KEPT = 50_000, 10_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """The mean of the middle half (a 25 % trimmed mean). Infinite values count as such where the middle holds any.

    Args:
        values: one a seed along `axis`.
        axis: the dimension of seeds, which the result lacks.

    Example:
        >>> float(interquartile_mean([1.0, 2.0, 4.0, 900.0]))
        3.0

    Source: Agarwal et al. 2021, section 4.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    cut = count // 4
    middle = np.take(ordered, range(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def bootstrap(statistic: Callable[..., NDArray[np.float64]], *samples: ArrayLike) -> Interval:
    """Percentile bootstrap over seeds; several samples are paired (resampled together).

    With fewer than two seeds nothing can be said: the interval is unbounded. A resample whose statistic is not a number
    (infinite over infinite) counts as infinite, and so does what is over 0.

    Args:
        statistic: called as `statistic(*samples, axis)`; it reduces that axis of all samples at once (vectorized).
        samples: `[seeds]` each, on the same seeds.

    Returns:
        The statistic of the samples, and the 95 % interval of its bootstrap distribution.

    Source: Efron & Tibshirani 1993, section 13.3.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(*arrays, axis=-1))
    if arrays[0].size < 2:
        return Interval(estimate, float("-inf"), float("inf"))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [statistic(*(array[drawn] for array in arrays), axis=-1) for drawn in _resamples(arrays[0].size)]
    distribution = np.nan_to_num(np.concatenate(found), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(distribution, [tail, 1 - tail], method="nearest")
    return Interval(estimate, float(low), float(high))


def bootstrap_mean(values: ArrayLike) -> Interval:
    """`bootstrap` of the mean, to rounding: a resample is counted, so that all means are one product.

    Args:
        values: `[seeds]`; where one is not finite, as `bootstrap` has it.

    Example:
        >>> bootstrap_mean([2.0, 2.0, 2.0])
        Interval(estimate=2.0, low=2.0, high=2.0)
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < 2 or RESAMPLES * sample.size > KEPT or not np.isfinite(sample).all():
        return bootstrap(np.mean, sample)
    mean = float(sample.mean())
    if sample.min() == sample.max():
        return Interval(mean, mean, mean)
    distribution = _times(sample.size) @ sample / sample.size
    tail = (1 - CONFIDENCE) / 2
    ranks = [round(share * (RESAMPLES - 1)) for share in (tail, 1 - tail)]
    low, high = np.partition(distribution, ranks)[ranks]
    return Interval(mean, float(low), float(high))


@lru_cache(maxsize=2)
def _times(count: int) -> NDArray[np.float64]:
    """How often each resample holds each of so many values, `[resamples, values]`."""
    held = _drawn(count) + count * np.arange(RESAMPLES)[:, np.newaxis]
    return np.bincount(held.ravel(), minlength=count * RESAMPLES).reshape(RESAMPLES, count).astype(np.float64)


def _resamples(count: int) -> Iterator[NDArray[np.integer[Any]]]:
    """Positions of the resamples of scipy's bootstrap, `[resamples, seeds]` in parts, for so many seeds."""
    at_once = max(1, AT_ONCE // count)
    if RESAMPLES * count <= KEPT:
        drawn = _drawn(count)
        yield from (drawn[first : first + at_once] for first in range(0, RESAMPLES, at_once))
        return
    random = np.random.default_rng(SEED)
    for first in range(0, RESAMPLES, at_once):
        yield random.integers(count, size=(min(at_once, RESAMPLES - first), count))


# All samples of one size have the same resamples: drawing them takes as long as a statistic of them.
@lru_cache(maxsize=2)
def _drawn(count: int) -> NDArray[np.int32]:
    return np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count)).astype(np.int32)


def ratio_of_means(numerator: ArrayLike, denominator: ArrayLike) -> Interval:
    """Mean of one optimizer's losses over the mean of another's on the same seeds, with a paired interval.

    Args:
        numerator: losses of the one, `[seeds]`.
        denominator: losses of the other on the same seeds, `[seeds]`.

    Example:
        >>> ratio_of_means([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
        Interval(estimate=0.5, low=0.5, high=0.5)
    """
    return bootstrap(_ratio, numerator, denominator)


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(numerator.mean(axis) / denominator.mean(axis))


def median(values: ArrayLike) -> Interval:
    """The least value that half of the seeds do not exceed, with the exact interval between two order statistics.

    The interval is that of scipy's `quantile_test` (Conover 1999, chapter 3): it holds for any distribution, infinite
    values (never reached) included, and for few seeds it is wider than 95 %.

    Args:
        values: one a seed, `[seeds]`. Where any is missing (not a number) or there is none, so is the result.

    Example:
        >>> median([3.0, 1.0, float("inf")]).estimate
        3.0
    """
    sample = np.asarray(values, dtype=np.float64)
    if np.isnan(sample).any() or not sample.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    ordered, (low, high) = np.sort(sample), _ranks_around_the_median(sample.size)
    # No mean of the two in the middle: half of ∞ is no number of steps.
    return Interval(
        float(ordered[(sample.size - 1) // 2]),
        float("-inf") if low is None else float(ordered[low]),
        float("inf") if high is None else float(ordered[high]),
    )


# A table asks for the medians of thousands of samples of one size.
@lru_cache(maxsize=64)
def _ranks_around_the_median(count: int) -> tuple[int | None, int | None]:
    """Places of the order statistics that are the ends of the interval; None where so few values have none."""
    # Of the numbers 0, 1, 2 … each is its own place.
    ends = stats.quantile_test(np.arange(float(count)), p=0.5).confidence_interval(CONFIDENCE)
    low, high = (None if np.isnan(end) else int(end) for end in ends)
    return low, high
