"""Adafactor's r and c in the kernel: the means that they take in, s for a block, and what they add to hidden units.

A tensor has five dimensions here, `[first, x, between, y, last]`: x and y are the two largest. Means over y are called
outer, and have a place for each of the other dimensions. Means over x are called inner, and have the same without x.
"""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import (
    BLOCK,
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

Shape = tuple[int, int, int, int, int]
Pair = tuple[Array, Array]


@compiled()
def take_means(grad: Array, limit: float, shape: Shape, outer: Array, inner: Array) -> None:
    """Means of g² + 1e-30 over y and over x, in double precision.

    Args:
        grad: of one replica.
        limit: g is kept within ± this.
        shape: of the tensor.
        outer: means over y; written.
        inner: means over x; written.
    """
    firsts, wide, between, deep, last = shape
    outer[:] = 0.0
    inner[:] = 0.0
    start = 0
    for first in range(firsts):
        for x in range(wide):
            for b in range(between):
                left, right = ((first * wide + x) * between + b) * last, (first * between + b) * deep * last
                # What is contiguous: all of y, or all that comes after it.
                count = deep if last == 1 else last
                for y in range(1 if last == 1 else deep):
                    part, along = grad[start : start + count], inner[right + y * count : right + (y + 1) * count]
                    total = ZERO
                    for k in range(count):
                        g = keep_within(part[k], limit)
                        square = g * g + SMALLEST_SQUARE
                        along[k] += square
                        total += square
                        if last > 1:
                            outer[left + k] += square
                    if last == 1:
                        outer[left] = total
                    start += count
    for k in range(len(outer)):
        outer[k] /= deep
    for k in range(len(inner)):
        inner[k] /= wide


@compiled()
def advance_factors(
    outer: Array, inner: Array, means: Pair, rates: Array, outer_is_rows: bool, shape: Shape, scales: Pair
) -> None:
    """Bring the means into r and c of one replica, and take from them the outer and the inner part of each s.

    Args:
        outer: r or c, `[decays, places]`; written.
        inner: the other one; written.
        means: from `take_means`.
        rates: 1 − β.
        outer_is_rows: whether the outer ones are r.
        shape: of the tensor.
        scales: the parts of s, like `outer` and `inner`; written.
    """
    firsts, wide, between, deep, last = shape
    for i in range(DECAYS):
        for k in range(outer.shape[1]):
            outer[i, k] = scales[0][i, k] = blend(outer[i, k], np.float32(means[0][k]), rates[i])
        for k in range(inner.shape[1]):
            inner[i, k] = scales[1][i, k] = blend(inner[i, k], np.float32(means[1][k]), rates[i])
        # r is divided by its mean over the second largest dimension, which it has kept.
        rows = scales[0][i] if outer_is_rows else scales[1][i]
        before, size = (firsts, wide) if outer_is_rows else (firsts * between, deep)
        after = between * last if outer_is_rows else last
        for b in range(before):
            for a in range(after):
                total = 0.0
                for k in range(size):
                    total += rows[(b * size + k) * after + a]
                mean = np.float32(total / size) + SMALLEST
                for k in range(size):
                    rows[(b * size + k) * after + a] /= mean
        for part in range(2):
            scale = scales[0][i] if part == 0 else scales[1][i]
            for k in range(len(scale)):
                scale[k] = ONE / np.sqrt(SMALLEST if scale[k] < SMALLEST else scale[k])


@compiled()
def add_to_hidden(kept: Array, weights: Array, epsilon: float, values: Array, hidden: Array) -> None:
    """What the six features of r, or of c, add to each hidden unit, for each of their places.

    Args:
        kept: r or c, `[decays, places]`.
        weights: `[units, 6]`, of r and of 1 / √(r + 1e-8).
        epsilon: under the root of a feature's mean square.
        values: room, `[places]` or more.
        hidden: `[units, places]`; written.
    """
    hidden[:] = ZERO
    for f in range(2 * DECAYS):
        total = 0.0
        for k in range(kept.shape[1]):
            value = kept[f % DECAYS, k]
            values[k] = value if f < DECAYS else ONE / np.sqrt(value + SMALLEST_KEPT)
            total += values[k] * values[k]
        size = ONE / np.sqrt(np.float32(total / kept.shape[1]) + epsilon)
        for j in range(len(weights)):
            weight, unit = weights[j, f] * size, hidden[j]
            for k in range(kept.shape[1]):
                unit[k] += weight * values[k]


@compiled()
def find_places(start: int, count: int, shape: Shape, places: Pair) -> None:
    """The outer and inner places of coordinates, which may lie in several rows.

    Args:
        start: the first one.
        count: how many.
        shape: of the tensor.
        places: outer and inner; written.
    """
    _, wide, between, deep, last = shape
    outer, inner = places
    z = start % last
    y = start // last % deep
    b = start // (last * deep) % between
    x = start // (last * deep * between) % wide
    first = start // (last * deep * between * wide)
    for k in range(count):
        outer[k] = ((first * wide + x) * between + b) * last + z
        inner[k] = ((first * between + b) * deep + y) * last + z
        z += 1
        if z == last:
            z, y = 0, y + 1
            if y == deep:
                y, b = 0, b + 1
                if b == between:
                    b, x = 0, x + 1
                    if x == wide:
                        x, first = 0, first + 1


@compiled()
def look_up_scales(count: int, places: Pair, scales: Pair, along: Array) -> None:
    """s of a block.

    Args:
        count: coordinates.
        places: of each, outer and inner.
        scales: from `advance_factors`.
        along: `[decays, BLOCK]`; written.
    """
    for i in range(DECAYS):
        for k in range(count):
            along[i, k] = scales[0][i, places[0][k]] * scales[1][i, places[1][k]]


@compiled()
def look_up_hidden(count: int, places: Pair, hidden: Pair, y: Array) -> None:
    """What the factors add to each unit for a block.

    Args:
        count: coordinates.
        places: of each, outer and inner.
        hidden: from `add_to_hidden`, outer and inner, `[units, places]` each.
        y: `[units · BLOCK]`; written.
    """
    for j in range(len(hidden[0])):
        part, outer, inner = y[j * BLOCK : j * BLOCK + count], hidden[0][j], hidden[1][j]
        for k in range(count):
            part[k] = outer[places[0][k]] + inner[places[1][k]]


@compiled()
def hidden_of_row(row: int, at: int, count: int, hidden: Pair, y: Array) -> None:
    """What the factors add to each unit for a part of a row of a matrix.

    Args:
        row: which one.
        at: where the part begins.
        count: coordinates.
        hidden: as in `look_up_hidden`.
        y: `[units · BLOCK]`; written.
    """
    for j in range(len(hidden[0])):
        part, of_row, along = y[j * BLOCK : j * BLOCK + count], hidden[0][j, row], hidden[1][j, at : at + count]
        for k in range(count):
            part[k] = of_row + along[k]
