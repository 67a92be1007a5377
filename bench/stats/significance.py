"""The correction of p-values for the number of comparisons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number: the k-th smallest of n times n - k + 1, never falling, at most 1.

    Args:
        p_values: `[comparisons]`; NaN where a comparison has none. It stays NaN and does not count in n.

    Returns:
        The adjusted p-values, in the order given.

    Example:
        >>> holm([0.01, float("nan"), 0.04, 0.03]).tolist()
        [0.03, nan, 0.06, 0.06]

    Source: Holm 1979.
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(given, np.nan)
    order = np.argsort(given)[: np.isfinite(given).sum()]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted
