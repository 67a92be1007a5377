"""The accumulators and features of a block of coordinates, for the kernel.

The features are, in this order: g, θ, three m, v, three m q, q, three g s, three m s; g within ±0.1 and g q; and, of
vectors and scalars, three w and three 1 / √(w + 1e-8). `accumulate` says what m, v, q, s and w are.
"""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import (
    BLOCK,
    CLIP,
    DECAYS,
    ONE,
    SMALLEST,
    SMALLEST_KEPT,
    SMALLEST_SQUARE,
    ZERO,
    Array,
    blend,
    compiled,
    keep_within,
)

# How many of the features a rule has for its matrices; numbers are multiples of four, and what lacks is zero.
OF_MATRICES, OF_MATRICES_OF_CELO, OF_VECTORS = 16, 20, 24
Tensors = tuple[Array, Array, Array, Array, Array]
"""g, θ and v `[replicas, coordinates]`, in this order with m before v, `[decays, replicas, coordinates]`; r, or w."""
Rates = tuple[Array, float, Array]
"""1 − β of three m, of v, and of three r and c."""
Epsilons = tuple[float, float, float]
"""Under the roots: beside v; beside w for the momenta; beside a feature's mean square."""
Scales = tuple[Array, Array, int]
"""s of a block: a factor for its row, `[decays]`; one along it, `[decays, …]`; where that begins."""


@compiled()
def absorb(
    tensors: Tensors, replica: int, start: int, count: int, factored: bool, rates: Rates,
    limit: float, g: Array,
) -> None:  # fmt: skip
    """A block's gradient into the accumulators: m, v and, of vectors, w.

    Args:
        tensors: of all replicas.
        replica: which one.
        start: the first coordinate of the block.
        count: its coordinates.
        factored: whether there are r and c in place of w.
        rates: 1 − β.
        limit: gradients are kept within ± this.
        g: the gradient so kept, `[BLOCK]`; written.
    """
    grads, _, momenta, squares, w = tensors
    momentum_rates, square_rate, factored_rates = rates
    _read_gradient(grads[replica], start, count, limit, g)
    square = squares[replica, start : start + count]
    for k in range(count):
        square[k] = blend(square[k], g[k] * g[k], square_rate)
    for i in range(DECAYS):
        momentum, rate = momenta[i, replica, start : start + count], momentum_rates[i]
        for k in range(count):
            momentum[k] = blend(momentum[k], g[k], rate)
        if not factored:
            mean, rate = w[i, replica, start : start + count], factored_rates[i]
            for k in range(count):
                mean[k] = blend(mean[k], g[k] * g[k] + SMALLEST_SQUARE, rate)


@compiled()
def _read_gradient(grad: Array, start: int, count: int, limit: float, g: Array) -> None:
    """A block of the gradient into g, kept within ± limit. NaN stays NaN."""
    own = grad[start : start + count]
    for k in range(count):
        g[k] = keep_within(own[k], limit)


@compiled()
def add_squares(
    tensors: Tensors, replica: int, start: int, count: int, factored: bool, epsilons: Epsilons,
    g: Array, scales: Scales, sums: Array,
) -> None:  # fmt: skip
    """Sums of squares of a block's features, which need not be in memory for that.

    Args:
        tensors: of all replicas.
        replica: which one.
        start: the first coordinate of the block.
        count: its coordinates.
        factored: whether there are r and c in place of w.
        epsilons: under the roots.
        g: from `absorb`.
        scales: s, where there are factors.
        sums: of each feature, in double precision; added to.
    """
    _, params, momenta, squares, w = tensors
    epsilon, of_momenta, _ = epsilons
    of_row, along, first = scales
    param, square = params[replica, start : start + count], squares[replica, start : start + count]
    m0 = momenta[0, replica, start : start + count]
    m1 = momenta[1, replica, start : start + count]
    m2 = momenta[2, replica, start : start + count]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = s16 = s17 = ZERO
    for k in range(count):
        q = ONE / (square[k] + epsilon)
        gg, mm0, mm1, mm2 = g[k] * g[k], m0[k] * m0[k], m1[k] * m1[k], m2[k] * m2[k]
        s0 += gg
        s1 += param[k] * param[k]
        s2 += mm0
        s3 += mm1
        s4 += mm2
        s5 += square[k] * square[k]
        s6 += mm0 * q
        s7 += mm1 * q
        s8 += mm2 * q
        s9 += q
        s16 += CLIP * CLIP if gg > CLIP * CLIP else gg
        s17 += gg * q
    for f, total in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8, s9)):
        sums[f] += total
    sums[16] += s16
    sums[17] += s17
    for i in range(DECAYS):
        momentum, of_grad, of_momentum = momenta[i, replica, start : start + count], ZERO, ZERO
        if factored:
            row, part = of_row[i], along[i, first : first + count]
            for k in range(count):
                scale = (row * part[k]) * (row * part[k])
                of_grad += g[k] * g[k] * scale
                of_momentum += momentum[k] * momentum[k] * scale
        else:
            mean, of_mean, of_root = w[i, replica, start : start + count], ZERO, ZERO
            for k in range(count):
                of_grad += g[k] * g[k] / (mean[k] + SMALLEST)
                of_momentum += momentum[k] * momentum[k] / (mean[k] + of_momenta)
                of_mean += mean[k] * mean[k]
                of_root += ONE / (mean[k] + SMALLEST_KEPT)
            sums[18 + i] += of_mean
            sums[21 + i] += of_root
        sums[10 + i] += of_grad
        sums[13 + i] += of_momentum


@compiled()
def write_features(
    tensors: Tensors, replica: int, start: int, count: int, used: int, limit: float, epsilons: Epsilons,
    scales: Scales, x: Array,
) -> None:  # fmt: skip
    """The features of a block.

    Args:
        tensors: of all replicas.
        replica: which one.
        start: the first coordinate of the block.
        count: its coordinates.
        used: how many features.
        limit: gradients are kept within ± this.
        epsilons: under the roots.
        scales: s, where there are factors.
        x: `[features · BLOCK]`; written.
    """
    grads, params, momenta, squares, w = tensors
    epsilon, of_momenta, _ = epsilons
    of_row, along, first = scales
    _read_gradient(grads[replica], start, count, limit, x)
    param, square = params[replica, start : start + count], squares[replica, start : start + count]
    m0 = momenta[0, replica, start : start + count]
    m1 = momenta[1, replica, start : start + count]
    m2 = momenta[2, replica, start : start + count]
    for k in range(count):
        q = ONE / np.sqrt(square[k] + epsilon)
        x[k + BLOCK] = param[k]
        x[k + 2 * BLOCK] = m0[k]
        x[k + 3 * BLOCK] = m1[k]
        x[k + 4 * BLOCK] = m2[k]
        x[k + 5 * BLOCK] = square[k]
        x[k + 6 * BLOCK] = m0[k] * q
        x[k + 7 * BLOCK] = m1[k] * q
        x[k + 8 * BLOCK] = m2[k] * q
        x[k + 9 * BLOCK] = q
    if used > OF_MATRICES:
        for k in range(count):
            x[k + 16 * BLOCK] = keep_within(x[k], CLIP)
            x[k + 17 * BLOCK] = x[k] * x[k + 9 * BLOCK]
    if used < OF_VECTORS:
        p0, p1, p2 = (
            along[0, first : first + count],
            along[1, first : first + count],
            along[2, first : first + count],
        )
        row0, row1, row2 = of_row[0], of_row[1], of_row[2]
        for k in range(count):
            t0, t1, t2 = row0 * p0[k], row1 * p1[k], row2 * p2[k]
            x[k + 10 * BLOCK] = x[k] * t0
            x[k + 11 * BLOCK] = x[k] * t1
            x[k + 12 * BLOCK] = x[k] * t2
            x[k + 13 * BLOCK] = x[k + 2 * BLOCK] * t0
            x[k + 14 * BLOCK] = x[k + 3 * BLOCK] * t1
            x[k + 15 * BLOCK] = x[k + 4 * BLOCK] * t2
        return
    for i in range(DECAYS):
        mean, own = w[i, replica, start : start + count], x[i * BLOCK :]
        for k in range(count):
            own[k + 18 * BLOCK] = mean[k]
            own[k + 21 * BLOCK] = ONE / np.sqrt(mean[k] + SMALLEST_KEPT)
            own[k + 13 * BLOCK] = own[k + 2 * BLOCK] / np.sqrt(mean[k] + of_momenta)
            own[k + 10 * BLOCK] = ONE / np.sqrt(mean[k] + SMALLEST)
        for k in range(count):
            own[k + 10 * BLOCK] *= x[k]
