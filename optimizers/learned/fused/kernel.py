"""The kernel: one step of a tensor, in two passes over it.

The first brings the gradient into the accumulators and sums the squares of all features; the second writes the updates.
"""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import BLOCK, DECAYS, ONE, ZERO, Array, compiled
from l2obench.optimizers.learned.fused.factors import (
    Pair,
    Shape,
    add_to_hidden,
    advance_factors,
    find_places,
    hidden_of_row,
    look_up_hidden,
    look_up_scales,
    take_means,
)
from l2obench.optimizers.learned.fused.features import (
    OF_MATRICES,
    OF_MATRICES_OF_CELO,
    OF_VECTORS,
    Epsilons,
    Rates,
    Tensors,
    absorb,
    add_squares,
    write_features,
)
from l2obench.optimizers.learned.fused.network import apply_network, begin_layer, pad, write_update
from l2obench.optimizers.learned.fused.vectors import LANES

# Rows of a matrix that are shorter than this share a block, and each coordinate looks up its factors.
SHORT = 64
# Features of the kernel that a rule may lack, beside those of vectors.
OWN = 18
Blocks = tuple[int, int, int, bool, bool]
"""How many rows the blocks lie in; how long these are; coordinates of a block; whether a row of blocks is a matrix's;
whether there are factors at all."""
Room = tuple[Array, Array, Pair]
"""For s of a block, a factor for its row and what differs along it; and for places."""


@compiled()
def _sum_squares(
    tensors: Tensors, replica: int, blocks: Blocks, shape: Shape, rates: Rates, limit: float,
    epsilons: Epsilons, scales: Pair, room: Room, g: Array, sums: Array,
) -> None:  # fmt: skip
    """The first pass: the accumulators of one replica take its gradient in, and the sums of squares of its features."""
    rows, length, piece, by_rows, factored = blocks
    of_row, gathered, places = room
    sums[:] = 0.0
    for row in range(rows):
        for at in range(0, length, piece):
            count, start = min(piece, length - at), row * length + at
            absorb(tensors, replica, start, count, factored, rates, limit, g)
            along, first = gathered, 0
            if by_rows:
                along, first = scales[1], at
                for i in range(DECAYS):
                    of_row[i] = scales[0][i, row]
            elif factored:
                of_row[:] = ONE
                find_places(start, count, shape, places)
                look_up_scales(count, places, scales, gathered)
            add_squares(tensors, replica, start, count, factored, epsilons, g, (of_row, along, first), sums)


@compiled()
def _write_updates(
    tensors: Tensors, replica: int, blocks: Blocks, shape: Shape, limit: float,
    epsilons: Epsilons, scales: Pair, room: Room, hidden: Pair, bias: Array, layers: tuple[Array, ...],
    outputs: int, sizes: tuple[float, float, float], memory: tuple[Array, ...], updates: Array,
) -> None:  # fmt: skip
    """The second pass: the features of one replica again, block by block, and the network on them."""
    rows, length, piece, by_rows, factored = blocks
    of_row, gathered, places = room
    x, y, z, out, powers = memory
    used = layers[0].shape[1]
    for row in range(rows):
        for at in range(0, length, piece):
            count, start = min(piece, length - at), row * length + at
            whole = (count + LANES - 1) // LANES * LANES
            along, first = gathered, 0
            if by_rows:
                along, first = scales[1], at
                for i in range(DECAYS):
                    of_row[i] = scales[0][i, row]
                hidden_of_row(row, at, count, hidden, y)
            elif factored:
                of_row[:] = ONE
                find_places(start, count, shape, places)
                look_up_scales(count, places, scales, gathered)
                look_up_hidden(count, places, hidden, y)
            else:
                begin_layer(bias, y, whole)
            write_features(tensors, replica, start, count, used, limit, epsilons, (of_row, along, first), x)
            apply_network(layers, x, y, z, out, whole)
            write_update(out, x, count, outputs, sizes, powers, updates[replica, start : start + count])


@compiled()
def _arrange(raw: Array, slots: Array, kept: int, factored: bool, weights: Array) -> None:
    """Weights of the kernel's features from those of the rule's, `[units, …]` both. Without factors w is r and c."""
    for j in range(len(raw)):
        for f in range(min(weights.shape[1], OWN)):
            weights[j, f] = raw[j, slots[f]] if slots[f] >= 0 else ZERO
        if not factored:
            for i in range(DECAYS):
                weights[j, OWN + i] = raw[j, kept + i] + raw[j, kept + 3 + i]
                weights[j, OWN + 3 + i] = raw[j, kept + 6 + i] + raw[j, kept + 9 + i]


@compiled(entry=True)
def step_replicas(
    tensors: Tensors, columns: Array, updates: Array, shape: Shape, outer_is_rows: bool, factored: bool,
    rates: Rates, limit: float, epsilons: Epsilons,
    order: tuple[Array, int], network: tuple[Array, ...], sizes: tuple[Array, Array, float],
) -> None:  # fmt: skip
    """One step of all replicas of a tensor.

    Args:
        tensors: g, θ, m, v, and r or w; the last three are written.
        columns: c, `[decays, replicas, places]`; empty without factors. Written.
        updates: `[replicas, coordinates]`; written.
        shape: the tensor's, as `factors` has it.
        outer_is_rows: whether means over y are r.
        factored: whether there are r and c.
        rates: 1 − β of m, of v, and of r and c.
        limit: gradients are kept within ± this.
        epsilons: beside v; beside w for the momenta; under the root of a feature's mean square.
        order: which of the rule's features each of the kernel's is, −1 for none; where its features of r begin.
        network: weights and biases of the first layer, of those between, and of the last one, `[replicas or 1, …]`
            each, and between `[replicas or 1, layers, …]`.
        sizes: `size` and `nominal` for each replica, or one for all; the scale of a.
    """
    rows = tensors[4]
    first, first_bias, middle, middle_bias, last, last_bias = network
    slots, kept = order
    replicas, length = updates.shape
    units = (first.shape[1] + 3) // 4 * 4
    used = OF_VECTORS if not factored else OF_MATRICES_OF_CELO if slots[16] >= 0 else OF_MATRICES
    by_rows = factored and shape[1] * shape[3] == length and shape[3] >= SHORT
    count, along = (shape[1], shape[3]) if by_rows else (1, length)
    pieces = (along + BLOCK - 1) // BLOCK
    blocks = count, along, (along + pieces - 1) // pieces, by_rows, factored
    g, sums = np.zeros(BLOCK, np.float32), np.zeros(OF_VECTORS)
    x, y, z = (
        np.zeros(used * BLOCK, np.float32),
        np.zeros(units * BLOCK, np.float32),
        np.zeros(units * BLOCK, np.float32),
    )
    memory = x, y, z, np.zeros(4 * BLOCK, np.float32), np.zeros(BLOCK, np.int32)
    places = np.zeros(BLOCK, np.int64), np.zeros(BLOCK, np.int64)
    room = np.zeros(DECAYS, np.float32), np.zeros((DECAYS, BLOCK), np.float32), places
    outer, inner = (rows, columns) if outer_is_rows else (columns, rows)
    many, few = (outer.shape[2], inner.shape[2]) if factored else (0, 0)
    means = np.zeros(many), np.zeros(few)
    scales = np.zeros((DECAYS, many), np.float32), np.zeros((DECAYS, few), np.float32)
    hidden = np.zeros((units, many), np.float32), np.zeros((units, few), np.float32)
    between, of_between = (
        np.zeros((middle.shape[1], units, units), np.float32),
        np.zeros((middle.shape[1], units), np.float32),
    )
    raw, first_weights = np.zeros((units, first.shape[2]), np.float32), np.zeros((units, used), np.float32)
    of_factor, values = np.zeros((units, 2 * DECAYS), np.float32), np.zeros(max(many, few), np.float32)
    last_weights, biases = (
        np.zeros((4, units), np.float32),
        (np.zeros((1, units), np.float32), np.zeros((1, 4), np.float32)),
    )
    layers = first_weights, between, of_between, last_weights, biases[1][0]
    for replica in range(replicas):
        own = replica % len(first)
        pad(first[own], raw)
        pad(last[own], last_weights)
        pad(first_bias[own : own + 1], biases[0])
        pad(last_bias[own : own + 1], biases[1])
        pad(middle_bias[own], of_between)
        for m in range(middle.shape[1]):
            pad(middle[own, m], between[m])
        _arrange(raw, slots, kept, factored, first_weights)
        if factored:
            take_means(tensors[0][replica], limit, shape, means[0], means[1])
            advance_factors(outer[:, replica], inner[:, replica], means, rates[2], outer_is_rows, shape, scales)
        _sum_squares(tensors, replica, blocks, shape, rates, limit, epsilons, scales, room, g, sums)
        # A feature is divided by its root mean square where that costs least, in the weights.
        for f in range(used):
            size = ONE / np.sqrt(np.float32(sums[f] / length) + epsilons[2])
            for j in range(units):
                first_weights[j, f] *= size
        if factored:
            for part in range(2):
                begin = kept if (part == 0) == outer_is_rows else kept + 3
                for j in range(units):
                    for i in range(DECAYS):
                        of_factor[j, i], of_factor[j, DECAYS + i] = raw[j, begin + i], raw[j, begin + 6 + i]
                add_to_hidden(
                    outer[:, replica] if part == 0 else inner[:, replica], of_factor, epsilons[2], values, hidden[part]
                )
            for j in range(units):
                for k in range(many):
                    hidden[0][j, k] += biases[0][0, j]
        of_replica = sizes[0][replica % len(sizes[0])], sizes[1][replica % len(sizes[1])], sizes[2]
        _write_updates(
            tensors, replica, blocks, shape, limit, epsilons, scales, room, hidden, biases[0][0], layers,
            last.shape[1], of_replica, memory, updates,
        )  # fmt: skip
