"""Single seeds that got far worse than anything in BASE: too few for any test of means or ranks, and never noise."""

import numpy as np
from numpy.typing import NDArray

OWN_RISE = 100.0
"""A seed in the tail ends this many times higher than in BASE …"""
BEYOND = 10.0
"""… and this many times higher than any seed of BASE (docs/ci.md has how often that errs)."""


def seeds_in_the_tail(base: NDArray[np.float64], head: NDArray[np.float64], floor: float) -> NDArray[np.int_]:
    """Positions of the seeds whose final loss went where none of BASE's is.

    The two conditions cannot hold in both directions, so what is chaotic on both sides is no regression.

    Args:
        base: BASE's final losses `[seeds]`, finite.
        head: HEAD's on the same seeds, `[seeds]`, finite.
        floor: the task's floor; losses below it count as the floor.

    Returns:
        Positions, ascending; empty where no seed is in the tail.

    Example:
        >>> seeds_in_the_tail(np.array([1.0, 1.0, 2.0]), np.array([1.0, 1e5, 2.0]), 0.0).tolist()
        [1]
    """
    size = np.maximum(np.abs(base), floor)
    return np.flatnonzero((head / OWN_RISE > size) & (head / BEYOND > size.max()))
