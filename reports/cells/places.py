"""Where the rows of a group are: a slice where they stand together, so that what is taken there is a view."""

import numpy as np
from numpy.typing import NDArray

Places = slice | NDArray[np.intp]


def split(numbers: NDArray[np.intp]) -> list[Places]:
    """The places of equal numbers, in the order in which each first appears.

    Args:
        numbers: `[rows]`.

    Example:
        >>> split(np.array([5, 5, 2, 5]))
        [array([0, 1, 3]), slice(2, 3, None)]
    """
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    parts = sorted(np.split(order, ends), key=lambda part: int(part[0]))
    return [slice(int(part[0]), int(part[-1]) + 1) if part[-1] - part[0] == len(part) - 1 else part for part in parts]


def count(places: Places) -> int:
    """How many rows there are.

    Args:
        places: of the rows.
    """
    return int(places.stop - places.start) if isinstance(places, slice) else len(places)


def nest(places: Places, inner: Places) -> Places:
    """The places of some of the rows.

    Args:
        places: of all of them.
        inner: those of some, counted among these.

    Example:
        >>> nest(slice(10, 20), slice(2, 4)), nest(slice(10, 20), np.array([0, 9]))
        (slice(12, 14, None), array([10, 19]))
    """
    if not isinstance(places, slice):
        chosen: NDArray[np.intp] = places[inner]
        return chosen
    if isinstance(inner, slice):
        return slice(places.start + inner.start, places.start + inner.stop)
    shifted: NDArray[np.intp] = inner + places.start
    return shifted
