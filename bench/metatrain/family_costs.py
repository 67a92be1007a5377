"""What a step of each family costs, so that the processes of a training begin with the longest trajectories.

Whoever is free takes the next one: with the longest first, none is left waiting long for the last of a meta-step
(Graham 1969, Bounds on multiprocessing timing anomalies, section 5).
"""

import math
from collections.abc import Sequence


class FamilyCosts:
    """The least seconds that a step of each family has taken; all processes hold the same.

    Example:
        >>> costs = FamilyCosts()
        >>> costs.learn(["small", "large"], [0.1, 0.5])
        >>> costs.longest_first(["small", "large", "unknown", "large"])
        [2, 1, 3, 0]
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def longest_first(self, families: Sequence[str]) -> list[int]:
        """Order the trajectories of a meta-step.

        Args:
            families: that of each trajectory.

        Returns:
            Their places in `families`. Families that have not run yet come first.
        """
        return sorted(range(len(families)), key=lambda place: -self._seconds.get(families[place], math.inf))

    def learn(self, families: Sequence[str], seconds: Sequence[float]) -> None:
        """Take in what a meta-step took. The least counts: a first run compiles, and a machine may be busy.

        Args:
            families: that of each trajectory.
            seconds: of a step of each.
        """
        for family, taken in zip(families, seconds, strict=True):
            self._seconds[family] = min(taken, self._seconds.get(family, math.inf))
