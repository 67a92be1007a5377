"""What several trainings of one recipe say of the recipe: trainings and seeds are both random.

A claim about a checkpoint holds for that checkpoint. A claim about a recipe needs several trainings, because trainings
differ by more than seeds do: the standard deviation of the log mean loss between them is 0.6 to 0.9 on quadratics over
1,000 steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from l2obench.bench.stats.intervals import CONFIDENCE, Interval
from l2obench.bench.stats.pairs import FLOOR, pair_losses
from l2obench.bench.stats.significance import holm

Floats = NDArray[np.float64]

RecipeOutcome = Literal["better", "worse", "no difference", "too few trainings", "seeds failed"]

ENOUGH_TRAININGS = 3
"""With two, the interval of a recipe has one degree of freedom, and 13 standard errors to each side."""


@dataclass(frozen=True)
class RecipeComparison:
    """A recipe against a baseline on common seeds."""

    trainings: int
    seeds: int
    typical: Interval
    """Geometric mean of the ratios over trainings and seeds; below 1 the recipe is better. Its interval speaks for new
    trainings and new seeds."""
    between_trainings: float
    """Standard deviation of the log ratio between trainings, beyond what seeds explain; 0 or more."""
    p_value: float
    """Two-sided, for a recipe that does not differ from the baseline; NaN with fewer than `ENOUGH_TRAININGS`."""


def compare_recipe(trainings: Sequence[ArrayLike], baseline: ArrayLike, floor: float = FLOOR) -> RecipeComparison:
    """Hold several trainings of one recipe against a baseline.

    The log ratios of trainings × seeds are a two-way crossed layout with both factors random. The variance of their
    mean is (MS_trainings + MS_seeds − MS_rest) / (trainings · seeds), never less than MS_trainings alone gives, and its
    degrees of freedom are Satterthwaite's. A failed seed has an infinite log ratio: estimate and interval are then
    infinite on that side, or unknown where both sides fail.

    Args:
        trainings: final losses of each training's checkpoint `[seeds]`, on the same seeds.
        baseline: the baseline's, `[seeds]`.
        floor: the task's.

    Returns:
        The comparison. Its interval is unbounded and its p-value NaN with fewer than `ENOUGH_TRAININGS`.

    Raises:
        ValueError: no training or fewer than two seeds, sides that differ in shape, or a negative loss.

    Source: Searle, Casella & McCulloch 1992, section 4.3 (crossed random effects); Satterthwaite 1946.
    """
    pairs = [pair_losses(losses, baseline, floor) for losses in trainings]
    if not pairs or pairs[0].contrasts.size < 2:
        raise ValueError(
            "a recipe must have one training or more on two seeds or more. Try: l2obench train --replicates 3"
        )
    if any(item.measure == "difference" for item in pairs):
        raise ValueError("the losses of a recipe must not be negative: their ratios have no meaning")
    logs = np.stack([item.contrasts for item in pairs])
    count, seeds = logs.shape
    if np.isinf(logs).any():
        return _with_failures(logs)
    mean = float(logs.mean())
    by_training, by_seed = logs.mean(1), logs.mean(0)
    rest = logs - by_training[:, np.newaxis] - by_seed + mean
    if count < ENOUGH_TRAININGS:
        return RecipeComparison(count, seeds, _as_ratio(mean, np.inf), float("nan"), float("nan"))
    squares = np.array(
        [
            seeds * by_training.var(ddof=1),
            count * by_seed.var(ddof=1),
            (rest**2).sum() / ((count - 1) * (seeds - 1)),
        ]
    )
    freedom = np.array([count - 1, seeds - 1, (count - 1) * (seeds - 1)])
    parts = squares / logs.size
    between = max(0.0, (squares[0] - squares[2]) / seeds) ** 0.5
    variance = parts[0] + parts[1] - parts[2]
    if variance > parts[0]:
        degrees = variance**2 / (parts**2 / freedom).sum()
    else:
        variance, degrees = parts[0], float(freedom[0])
    if variance == 0:
        return RecipeComparison(count, seeds, _as_ratio(mean, 0.0), between, float(mean == 0))
    error = float(np.sqrt(variance))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, degrees))
    return RecipeComparison(count, seeds, _as_ratio(mean, half), between, p_value)


def decide_recipes(comparisons: Sequence[RecipeComparison]) -> list[tuple[RecipeOutcome, float]]:
    """Decide each comparison of a recipe, in the order given; together they are wrong at most once in twenty runs.

    Args:
        comparisons: all that are made together, such as those of one table.

    Returns:
        The outcome and the p-value, corrected by Holm's method; NaN with too few trainings, or where seeds failed.

    Example:
        >>> lower = [[0.5 + 0.01 * k, 0.6, 0.4, 0.5] for k in range(4)]
        >>> decide_recipes([compare_recipe(lower, [1.0] * 4), compare_recipe(lower[:2], [1.0] * 4)])[0][0]
        'better'

    Source: Holm 1979.
    """
    corrected = [float(value) for value in holm([item.p_value for item in comparisons])]
    return [(_outcome(item, p), p) for item, p in zip(comparisons, corrected, strict=True)]


def _outcome(found: RecipeComparison, p_value: float) -> RecipeOutcome:
    if found.trainings < ENOUGH_TRAININGS:
        return "too few trainings"
    if np.isnan(p_value):
        return "seeds failed"
    if p_value > 1 - CONFIDENCE:
        return "no difference"
    return "better" if found.typical.estimate < 1 else "worse"


def _with_failures(logs: Floats) -> RecipeComparison:
    """Some seeds failed: a mean of infinite logarithms has no spread, and carries no verdict."""
    signs = set(np.sign(logs[np.isinf(logs)]))
    estimate = {(1.0,): np.inf, (-1.0,): 0.0}.get(tuple(signs), np.nan)
    trainings, seeds = logs.shape
    unknown = float("nan")
    return RecipeComparison(trainings, seeds, Interval(float(estimate), 0.0, float("inf")), unknown, unknown)


def _as_ratio(mean: float, half: float) -> Interval:
    with np.errstate(over="ignore"):
        return Interval(*(float(np.exp(value)) for value in (mean, mean - half, mean + half)))
