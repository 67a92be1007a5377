"""Means and spreads of whole tensors, in two passes that write nothing."""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import BLOCK, ZERO, Array, compiled


@compiled(entry=True)
def means_and_spreads(values: Array) -> tuple[Array, Array]:
    """The mean of each row, and the mean square of its distance from that.

    Args:
        values: `[rows, coordinates]`.
    """
    means, spreads = np.zeros(len(values), np.float32), np.zeros(len(values), np.float32)
    for row in range(len(values)):
        means[row] = np.float32(_sum_of(values[row]) / values.shape[1])
        spreads[row] = np.float32(_sum_of_distances(values[row], means[row]) / values.shape[1])
    return means, spreads


@compiled(entry=True)
def mean_squares(values: Array) -> Array:
    """The mean square of each row.

    Args:
        values: `[rows, coordinates]`.
    """
    means = np.zeros(len(values), np.float32)
    for row in range(len(values)):
        means[row] = np.float32(_sum_of_distances(values[row], ZERO) / values.shape[1])
    return means


@compiled()
def _sum_of(values: Array) -> float:
    """The sum, in double precision over blocks in single."""
    total = 0.0
    for start in range(0, len(values), BLOCK):
        own, part = values[start : start + BLOCK], ZERO
        for k in range(len(own)):
            part += own[k]
        total += float(part)
    return total


@compiled()
def _sum_of_distances(values: Array, mean: float) -> float:
    """The sum of (value − mean)², likewise."""
    total = 0.0
    for start in range(0, len(values), BLOCK):
        own, part = values[start : start + BLOCK], ZERO
        for k in range(len(own)):
            part += (own[k] - mean) * (own[k] - mean)
        total += float(part)
    return total
