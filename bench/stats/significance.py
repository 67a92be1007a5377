"""Paired tests of one optimizer against another, and their correction for the number of comparisons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def paired_test(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test (Wilcoxon 1945) on paired losses; 1 where all pairs are equal.

    An infinite loss differs from a finite one by more than any other pair; two infinite ones are equal.
    """
    with np.errstate(invalid="ignore"):
        differences = np.nan_to_num(np.subtract(first, second, dtype=np.float64), nan=0.0)
    if not differences.any():
        return 1.0
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)  # finite, in the order of the differences
    return float(stats.wilcoxon(ranks).pvalue)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for their number (Holm 1979): the k-th smallest of n times n - k + 1, never falling, at most 1.

    Missing ones stay missing and do not count.
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(given, np.nan)
    order = np.argsort(given)[: np.isfinite(given).sum()]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted
