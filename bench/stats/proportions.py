"""Proportions of seeds and their means over tasks, with intervals that hold where every seed agrees.

A percentile bootstrap of a proportion has no width where all seeds agree, and at 20 seeds and a true 0.9 covers it 88
times in a hundred instead of 95 (tests/bench/stats/test_proportions.py). Wilson's interval does not fail there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from l2obench.bench.stats.intervals import CONFIDENCE, Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Proportions:
    """Estimates with their 95 % intervals, each an array of one shape: `[points]`, or no dimension at all."""

    estimate: Floats
    low: Floats
    high: Floats


def wilson(scores: ArrayLike) -> Proportions:
    """The mean of scores in [0, 1] over seeds, with Wilson's score interval (Wilson 1927).

    Scores between 0 and 1 (halves, for ties) vary less than those at the ends: the interval is then on the safe side.

    Args:
        scores: `[seeds, ...]`, at least one seed.

    Returns:
        Means and ends of the interval, of the shape of `scores` without its seeds.

    Example:
        >>> found = wilson([1.0] * 20)
        >>> found.estimate.round(3).item(), found.low.round(3).item(), found.high.round(3).item()
        (1.0, 0.839, 1.0)
    """
    values = np.asarray(scores, dtype=np.float64)
    count, mean = len(values), values.mean(0)
    z2 = special.ndtri((1 + CONFIDENCE) / 2) ** 2
    centre = (mean + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (mean * (1 - mean) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return Proportions(mean, np.clip(centre - half, 0, mean), np.clip(centre + half, mean, 1))


def mean_over_tasks(proportions: Sequence[Proportions]) -> Proportions:
    """The mean of proportions of several tasks, every task with the same weight, whatever its number of seeds.

    The distances of the interval's ends are those of the tasks' intervals, added as independent errors are ("method of
    variance estimates recovery": Zou & Donner 2008). Tasks whose seeds draw the same functions are not independent: two
    horizons of one family count as one task's worth of evidence, and the interval is then too narrow.

    Args:
        proportions: one a task, all of one shape; at least one.

    Returns:
        The mean and its interval, of the same shape.
    """
    estimate, low, high = (
        np.stack([getattr(item, name) for item in proportions]) for name in ("estimate", "low", "high")
    )
    below = np.sqrt(((estimate - low) ** 2).sum(0)) / len(proportions)
    above = np.sqrt(((high - estimate) ** 2).sum(0)) / len(proportions)
    mean = estimate.mean(0)
    return Proportions(mean, mean - below, mean + above)


def wins(losses: ArrayLike, reference: ArrayLike) -> Floats:
    """1 for each seed on which a rule's final loss is below the reference's, ½ where they are equal, else 0: `[seeds]`.

    An infinite loss (a failure) loses against any finite one, and equals another infinite one.

    Args:
        losses: final losses of the rule, `[seeds]`.
        reference: those of the reference on the same seeds, `[seeds]`.

    Example:
        >>> wins([1.0, 2.0, float("inf")], [2.0, 2.0, 9.0]).tolist()
        [1.0, 0.5, 0.0]
    """
    own, other = np.asarray(losses, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    return np.where(own == other, 0.5, (own < other).astype(np.float64))


def probability_of_improvement(losses: ArrayLike, reference: ArrayLike) -> Interval:
    """How probable it is that a rule ends lower than the reference on a function drawn at random; ties count half.

    Both rules run on the same functions, so each seed is compared with itself, not with every other one. The interval
    is Wilson's.

    Args:
        losses: final losses of the rule, `[seeds]`, infinite for a failure; at least one seed.
        reference: those of the reference on the same seeds, `[seeds]`.

    Source: Agarwal et al. 2021, section 4, in a paired form.
    """
    found = wilson(wins(losses, reference))
    return Interval(float(found.estimate), float(found.low), float(found.high))


def performance_profile(ratios: ArrayLike, taus: ArrayLike) -> Proportions:
    """The share of problems that a rule solves at no more than τ times the reference's cost, for each τ: `[taus]`.

    Source: Dolan & Moré 2002, section 2; the pointwise band is Wilson's. Problems never solved (ratio infinite)
    keep the profile below 1 for all τ.

    Args:
        ratios: `relative_cost` on each problem, `[problems]`; at least one.
        taus: where to evaluate, `[taus]`, finite.
    """
    solved = np.asarray(ratios, dtype=np.float64)[:, np.newaxis] <= np.asarray(taus, dtype=np.float64)
    return wilson(solved.astype(np.float64))
