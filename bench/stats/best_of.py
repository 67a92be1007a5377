"""What the best of k trials ends with, from N trials: for every k at once, and without drawing orders at random."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class BestOf:
    """What a user gets who takes the best of k trials, for k = 1 … N."""

    expected: NDArray[np.float64]
    """`[N]`, the mean over all sets of k trials; infinite where a set chooses a trial with an infinite loss."""
    quartiles: NDArray[np.float64]
    """`[3, N]`, quartiles over the same sets."""
    fails: NDArray[np.float64]
    """`[N]`, the share of sets that choose a trial with an infinite loss."""


def best_of(scores: ArrayLike, losses: ArrayLike) -> BestOf:
    """Say what the best of k trials ends with, over all sets of k out of N trials.

    The set's trial with the lowest score is chosen, and counts with its loss. Sorted by score, trial i of N is chosen
    by the share C(N − i, k − 1) / C(N, k) of sets. Without replacement the estimate is unbiased (Tang et al. 2020).

    Args:
        scores: of N trials, `[N]`, by which a user chooses: their mean on tuning seeds. Of equals the first is chosen.
        losses: of the same trials on other seeds, `[N]`.

    Raises:
        ValueError: the arrays are empty, or of different lengths, or a number is missing.

    Example:
        >>> found = best_of([3.0, 1.0, 2.0], [0.3, 0.1, 0.2])
        >>> found.expected.round(4).tolist()
        [0.2, 0.1333, 0.1]

    Source: Dodge et al. 2019, "Show your work", section 3, for expected validation performance; Tang et al. 2020,
        "Showing your work doesn't always work", section 3, for the estimate without bias.
    """
    by, found = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if by.ndim != 1 or by.shape != found.shape or by.size == 0:
        raise ValueError(f"scores and losses must be two arrays of N numbers, got shapes {by.shape} and {found.shape}")
    if np.isnan(by).any() or np.isnan(found).any():
        raise ValueError("scores and losses must be numbers or infinite, got a missing one")
    chosen = choice_shares(by.size)
    ordered = found[np.argsort(by, kind="stable")]
    rising = np.argsort(ordered, kind="stable")
    # Where no set chooses a trial, its infinite loss must not become 0 · ∞.
    expected = np.where(chosen > 0, chosen * np.where(chosen > 0, ordered, 0), 0).sum(1)
    reached = chosen[:, rising].cumsum(1)
    quartiles = np.stack([ordered[rising][(reached >= share - 1e-12).argmax(1)] for share in QUARTILES])
    return BestOf(expected, quartiles, chosen[:, np.isinf(ordered)].sum(1))


def choice_shares(trials: int) -> NDArray[np.float64]:
    """Give the share of the sets of k trials whose best is the i-th best of all, `[k, i]`.

    Args:
        trials: N.

    Example:
        >>> choice_shares(3).round(3).tolist()
        [[0.333, 0.333, 0.333], [0.667, 0.333, 0.0], [1.0, 0.0, 0.0]]
    """
    return np.array(
        [
            [math.comb(trials - place, k - 1) / math.comb(trials, k) for place in range(1, trials + 1)]
            for k in range(1, trials + 1)
        ]
    )


def expected_trials(trials: int, matching: int) -> float:
    """Expect how many trials it takes until the first that matches, in a random order; infinite where none does.

    Args:
        trials: N, all that were tried.
        matching: how many of them match.

    Example:
        >>> expected_trials(21, 4), expected_trials(21, 0)
        (4.4, inf)
    """
    # The mean of a negative hypergeometric variable, and the trial that ends it.
    return (trials + 1) / (matching + 1) if matching else math.inf


def matched_share(trials: int, matching: int, tried: int) -> float:
    """Give the probability that one of the first trials matches, in a random order.

    Args:
        trials: N, all that were tried.
        matching: how many of them match.
        tried: how many a user tries; at most N count.

    Example:
        >>> round(matched_share(21, 4, 1), 4)
        0.1905
    """
    some = min(tried, trials)
    return 1 - math.comb(trials - matching, some) / math.comb(trials, some)
