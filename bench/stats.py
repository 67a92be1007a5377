"""Statistics of the comparison: interquartile means and paired bootstrap intervals, by scipy, seeded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 20161130


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """The mean of the middle half (a 25 % trimmed mean). Infinite values count as such where the middle holds any."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    cut = count // 4
    middle = np.take(ordered, range(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def bootstrap(statistic: Callable[..., NDArray[np.float64]], *samples: ArrayLike) -> Interval:
    """Percentile bootstrap over seeds; several samples are paired (resampled together).

    `statistic(*samples, axis)` is vectorised. With fewer than two seeds nothing can be said: the interval is unbounded.
    A resample whose statistic is not a number (infinite over infinite) counts as infinite.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    with np.errstate(invalid="ignore"):
        estimate = float(statistic(*arrays, axis=-1))
    if arrays[0].size < 2:
        return Interval(estimate, float("-inf"), float("inf"))
    with np.errstate(invalid="ignore"):
        result = stats.bootstrap(
            arrays,
            statistic,
            paired=len(arrays) > 1,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 4_000_000 // arrays[0].size),
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(SEED),
        )
        distribution = np.nan_to_num(result.bootstrap_distribution, nan=np.inf, posinf=np.inf, neginf=-np.inf)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(distribution, [tail, 1 - tail], method="nearest")
    return Interval(estimate, float(low), float(high))


def ratio_of_means(numerator: ArrayLike, denominator: ArrayLike) -> Interval:
    """Mean of one optimizer's losses over the mean of another's on the same seeds, with a paired interval."""
    return bootstrap(_ratio, numerator, denominator)


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(numerator.mean(axis) / denominator.mean(axis))


def paired_test(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test (Wilcoxon 1945) on paired losses; 1 where all pairs are equal.

    An infinite loss differs from a finite one by more than any other pair; two infinite ones are equal.
    """
    with np.errstate(invalid="ignore"):
        differences = np.nan_to_num(np.subtract(first, second, dtype=np.float64), nan=0.0)
    if not differences.any():
        return 1.0
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)  # finite, in the order of the differences
    return float(stats.wilcoxon(ranks).pvalue)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for their number (Holm 1979): the k-th smallest of n times n - k + 1, never falling, at most 1.

    Missing ones stay missing and do not count.
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(given, np.nan)
    order = np.argsort(given)[: np.isfinite(given).sum()]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def steps_to_target(losses: ArrayLike, target: float, window: int = 1) -> NDArray[np.float64]:
    """The first step whose loss, averaged over the last `window` steps, is at most `target`; infinite if none is.

    Args:
        losses: trajectories `[seeds, steps + 1]`.
        target: the loss to reach.
        window: losses averaged, for minibatch noise.
    """
    trajectories = np.asarray(losses, dtype=np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(trajectories, window, axis=-1).mean(-1)
    reached = windows <= target
    first = reached.argmax(-1) + window - 1
    return np.where(reached.any(-1), first, np.inf)
