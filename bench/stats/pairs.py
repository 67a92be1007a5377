"""Pairs of final losses as numbers that can be ranked: log ratios, or differences where a loss is negative.

Losses at the floor, tied, negative and infinite ones have a defined place (docs/protocol.md, "Losses without a ratio").
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Measure = Literal["ratio", "difference"]

FLOOR = 1e-12
"""Loss at or below which differences are rounding, where a task states none: `Task.floor` has this default."""

# Log ratios are multiples of this. Their sums, halves and differences are then exact, so that values that are equal
# on paper tie. A factor of 1 ± 1e-9 is far below the precision of a float32 loss, 6e-8.
GRID = 2.0**-30

SCORE_GRID = 2.0**-20
"""Multiples of which differences of accuracies are: a float32 accuracy is off by 6e-8, a share of a million examples
differs from the next by 1e-6."""


@dataclass(frozen=True)
class Pairs:
    """Two optimizers on the same seeds."""

    first: Floats
    """Final losses `[seeds]`, none below the floor if the measure is a ratio; infinite for a failure."""
    second: Floats
    measure: Measure
    contrasts: Floats
    """What is ranked, `[seeds]`: log(first / second), or first − second."""


def pair_losses(first: ArrayLike, second: ArrayLike, floor: float = FLOOR) -> Pairs:
    """Put two optimizers' final losses on the same seeds side by side.

    A loss that is not a number is a failure, and infinite. Where both are infinite the pair is tied; where one is, it
    differs by more than any finite pair. A loss at or below the floor counts as the floor: two of them are tied. If a
    loss lies below −floor, ratios have no meaning: all pairs are then compared by their differences, and pairs within
    the floor of each other are tied.

    Args:
        first: final losses `[seeds]`.
        second: those of the other optimizer on the same seeds, `[seeds]`.
        floor: the loss at or below which differences are rounding, 0 or more.

    Returns:
        Both sides as they are compared, and the contrast of each pair.

    Raises:
        ValueError: the sides differ in shape, or the floor is negative or not finite.

    Example:
        >>> pair_losses([2.0, 0.0, float("inf")], [1.0, 0.0, 1.0]).contrasts.round(3).tolist()
        [0.693, 0.0, inf]
    """
    own, other = (_as_losses(side) for side in (first, second))
    if own.shape != other.shape or own.ndim != 1:
        raise ValueError(f"expected two paired samples of losses, got shapes {own.shape} and {other.shape}")
    if not 0 <= floor < np.inf:
        raise ValueError(f"floor must be a finite number of 0 or more, got {floor}")
    if own.size and min(own.min(), other.min()) < -floor:
        with np.errstate(over="ignore", invalid="ignore"):  # near the largest number, and ∞ − ∞
            differences = own - other
        tied = (own == other) | (np.abs(differences) <= floor)
        return Pairs(own, other, "difference", np.where(tied, 0.0, differences))
    own, other = np.maximum(own, floor), np.maximum(other, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(own) - np.log(other)
    ratios = np.where(own == other, 0.0, np.round(ratios / GRID) * GRID)
    return Pairs(own, other, "ratio", ratios + 0.0)


def pair_scores(first: ArrayLike, second: ArrayLike, grid: float = 0.0) -> Pairs:
    """Put two optimizers' scores, of which higher is better, on the same seeds side by side.

    Scores are compared by their differences. An accuracy is bounded: a ratio of accuracies says little near 1, and a
    ratio of error rates has none at 0.

    Args:
        first: `[seeds]`; −∞ or NaN for a failure.
        second: those of the other optimizer on the same seeds, `[seeds]`.
        grid: differences are rounded to multiples of this, so that values that are equal on paper tie; 0: not.

    Returns:
        Both sides as they are compared, and first − second; positive where the first is better.

    Raises:
        ValueError: the sides differ in shape.

    Example:
        >>> pair_scores([0.9, 0.8], [0.8, 0.8], SCORE_GRID).contrasts.round(3).tolist()
        [0.1, 0.0]
    """
    own, other = (-_as_losses(-np.asarray(side, dtype=np.float64)) for side in (first, second))
    if own.shape != other.shape or own.ndim != 1:
        raise ValueError(f"expected two paired samples of scores, got shapes {own.shape} and {other.shape}")
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        differences = own - other
    if grid:
        differences = np.round(differences / grid) * grid
    return Pairs(own, other, "difference", np.where(own == other, 0.0, differences) + 0.0)


def _as_losses(values: ArrayLike) -> Floats:
    losses = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(losses), np.inf, losses)
