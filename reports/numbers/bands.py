"""Bootstrap bands of interquartile means, for curves: every resample is counted once, and no resample is sorted."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2obench.bench.stats import CONFIDENCE, SEED, interquartile_mean

# A band is read off a figure, not off a table. So many resamples know a tail of 2.5 % to ± 0.7 %.
RESAMPLES = 500
# Numbers of one turn: of 500 seeds and 150 points all take 75 MB, and leave the processor's cache.
AT_ONCE = 1_000_000

Floats = NDArray[np.float64]


def band(losses: Floats) -> tuple[Floats, Floats]:
    """A 95 % percentile bootstrap band of the interquartile mean over seeds.

    Args:
        losses: `[seeds, points]`, at least one seed.

    Returns:
        The lower and the upper end, `[points]` each; pointwise, not for the whole curve at once.

    Example:
        >>> low, high = band(np.array([[1.0], [2.0], [3.0], [4.0]]))
        >>> low.item(), high.item()
        (1.0, 4.0)
    """
    seeds, points = losses.shape
    finite = np.isfinite(losses).all(axis=0)
    means = np.empty((points, RESAMPLES))
    at_once = max(1, AT_ONCE // (seeds * RESAMPLES))
    (places,) = np.nonzero(finite)
    for first in range(0, len(places), at_once):
        part = places[first : first + at_once]
        means[part] = _resampled_means(losses[:, part])
    # A weight of 0 times infinity is no number: these few points are resampled and sorted.
    if not finite.all():
        means[~finite] = interquartile_mean(losses[:, ~finite][_drawn(seeds)], axis=1).T
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=1)
    return low, high


def _resampled_means(losses: Floats) -> Floats:
    """The interquartile mean of every resample, `[points, resamples]`.

    Sorted, a resample is the sorted losses, each as often as it was drawn. So the number of times that a loss is among
    the middle half follows from the running sum of these counts, and all resamples share one sorting.
    """
    seeds = len(losses)
    cut = seeds // 4
    order = np.argsort(losses, axis=0)
    until = _times(seeds)[order]  # [seeds, points, resamples]
    for rank in range(1, seeds):  # numpy's own running sum along the first axis takes four times as long
        np.add(until[rank - 1], until[rank], out=until[rank])
    np.clip(until, cut, seeds - cut, out=until)
    inside = np.diff(until, axis=0, prepend=until.dtype.type(cut)).transpose(1, 2, 0)
    ordered = np.take_along_axis(losses, order, axis=0).T[:, :, np.newaxis]
    return np.asarray((inside @ ordered)[:, :, 0] / (seeds - 2 * cut))


def _drawn(seeds: int) -> NDArray[np.int64]:
    """The seeds of every resample, `[resamples, seeds]`; the same ones for every curve."""
    return np.random.default_rng(SEED).integers(seeds, size=(RESAMPLES, seeds))


@lru_cache(maxsize=8)
def _times(seeds: int) -> NDArray[np.signedinteger[Any]]:
    """How often each resample holds each seed, `[seeds, resamples]`, in the smallest type that can hold their sums."""
    held = _drawn(seeds) + seeds * np.arange(RESAMPLES)[:, np.newaxis]
    counts = np.bincount(held.ravel(), minlength=seeds * RESAMPLES).reshape(RESAMPLES, seeds)
    return np.ascontiguousarray(counts.T.astype(np.min_scalar_type(-seeds - 1)))
