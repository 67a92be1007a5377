"""Walsh averages: the means of all pairs of values, each with itself included (Hodges & Lehmann 1963, section 4)."""

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SORTED_UP_TO = 200
"""Pairs up to which all means of two of them are sorted: of 200 they are 20,100. Beyond, they are counted."""


@lru_cache(maxsize=8)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.triu_indices(count)
    return rows, columns


class Walsh:
    """The means of all pairs of sorted values, each with itself included, by their order.

    Of few values they are sorted, once; of many, those up to a value are counted.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values
        self._finite = values[np.isfinite(values)]
        count, finite = values.size, self._finite.size
        below, above = np.isneginf(values).sum(), np.isposinf(values).sum()
        self.weight = count * (count + 1) / 2
        self._inside = finite * (finite + 1) // 2
        self._below = below * (below + 1) / 2 + below * finite + below * above / 2

    def distinct(self) -> Floats:
        """The finite ones, each once, in order."""
        return np.unique(self._averages())

    @cached_property
    def _sorted(self) -> Floats:
        return np.sort(self._averages())

    def _averages(self) -> Floats:
        rows, columns = _pairs(self._finite.size)
        return self._finite[rows] / 2 + self._finite[columns] / 2

    def at(self, weight: float) -> float:
        """The smallest average that, with those below it, makes up at least a weight.

        Args:
            weight: in averages, up to `weight` of all.
        """
        return self._of_order(int(np.ceil(weight - self._below)))

    def beyond(self, weight: float) -> float:
        """The smallest average that, with those below it, makes up more than a weight.

        Args:
            weight: in averages, up to `weight` of all.
        """
        return self._of_order(int(np.floor(weight - self._below)) + 1)

    def _of_order(self, order: int) -> float:
        """The finite average of an order, counted from 1; infinite where there is none."""
        if order <= 0:
            return -np.inf
        if order > self._inside:
            return np.inf
        if self._finite.size <= SORTED_UP_TO:
            return float(self._sorted[order - 1])
        low, high = self._finite[0], self._finite[-1]
        nothing = np.finfo(np.float64).eps * max(abs(low), abs(high))
        # The averages of 8,000 pairs would take 256 MB; counting them takes none.
        while high - low > nothing and low < (middle := low / 2 + high / 2) < high:
            low, high = (low, middle) if self._up_to(middle) >= order else (middle, high)
        return self._nearest(low if self._up_to(low) >= order else high)

    def _nearest(self, value: float) -> float:
        """The average of two values that is nearest: halving ends within rounding of it."""
        last = self._finite.size - 1
        partners = np.searchsorted(self._finite, 2 * value - self._finite)
        places = np.clip(np.stack([partners - 1, partners, partners + 1]), 0, last)
        averages = (self._finite / 2 + self._finite[places] / 2).ravel()
        return float(averages[np.abs(averages - value).argmin()])

    def _up_to(self, value: float) -> int:
        """How many finite averages are at most this."""
        ends = np.searchsorted(self._finite, 2 * value - self._finite, side="right")
        # (i, j) and (j, i) are both in the sum, (i, i) once.
        return int((ends.sum() + np.searchsorted(self._finite, value, side="right")) // 2)
