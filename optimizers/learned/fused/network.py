"""A perceptron on a block of coordinates, a row for each feature or unit; and updates from its outputs."""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import BLOCK, HALF, ONE, TWO, ZERO, Array, compiled
from l2obench.optimizers.learned.fused.vectors import LANES, at_least, load, multiply_add, spread, store

NO_LIMIT = np.float32(-np.inf)
THIRD = np.float32(1 / 3)


@compiled()
def _add_layer(weights: Array, x: Array, y: Array, count: int, limit: float) -> None:
    """y ← max(y + weights x, limit). Four units of LANES coordinates stay in registers until all inputs are in.

    Args:
        weights: `[units, inputs]`, the units a multiple of four.
        x: inputs, `[inputs · BLOCK]`.
        y: `[units · BLOCK]`; written.
        count: coordinates, a multiple of LANES.
        limit: 0 for ReLU; −∞. NaN stays NaN.
    """
    floor = spread(limit)
    for k in range(0, count, LANES):
        for j in range(0, weights.shape[0], 4):
            at = j * BLOCK + k
            a, b = load(y, at), load(y, at + BLOCK)
            c, d = load(y, at + 2 * BLOCK), load(y, at + 3 * BLOCK)
            for f in range(weights.shape[1]):
                value = load(x, f * BLOCK + k)
                a = multiply_add(spread(weights[j, f]), value, a)
                b = multiply_add(spread(weights[j + 1, f]), value, b)
                c = multiply_add(spread(weights[j + 2, f]), value, c)
                d = multiply_add(spread(weights[j + 3, f]), value, d)
            store(y, at, at_least(a, floor))
            store(y, at + BLOCK, at_least(b, floor))
            store(y, at + 2 * BLOCK, at_least(c, floor))
            store(y, at + 3 * BLOCK, at_least(d, floor))


@compiled()
def begin_layer(bias: Array, y: Array, count: int) -> None:
    """y ← bias, for every coordinate.

    Args:
        bias: of the units.
        y: `[units · BLOCK]`; written.
        count: coordinates.
    """
    for j in range(len(bias)):
        part = y[j * BLOCK : j * BLOCK + count]
        for k in range(count):
            part[k] = bias[j]


@compiled()
def apply_network(layers: tuple[Array, ...], x: Array, y: Array, z: Array, out: Array, count: int) -> None:
    """Outputs of the network from features x and what y has of the first layer already.

    Args:
        layers: first weights; weights `[layers, units, units]` and biases between hidden layers; last ones.
        x: features, `[features · BLOCK]`.
        y: `[units · BLOCK]`; overwritten.
        z: room like y.
        out: `[4 · BLOCK]`; written.
        count: coordinates, rounded up to a multiple of LANES: what is beyond them does no harm.
    """
    first, between, of_between, last, of_last = layers
    _add_layer(first, x, y, count, ZERO)
    for m in range(len(between)):
        begin_layer(of_between[m], z, count)
        _add_layer(between[m], y, z, count, ZERO)
        y, z = z, y
    begin_layer(of_last, out, count)
    _add_layer(last, y, out, count, NO_LIMIT)


@compiled()
def write_update(
    out: Array, x: Array, count: int, outputs: int, sizes: tuple[float, ...], room: Array, update: Array
) -> None:
    """Updates from outputs: d alone; size · d e^a; or size · d e^a q + nominal · mean(m q) e^b, as `star` has it.

    Args:
        out: from `apply_network`; overwritten.
        x: features.
        count: coordinates.
        outputs: how many the network has, 1 to 3.
        sizes: size; nominal; what a and b are multiplied by.
        room: int32, `[BLOCK]`.
        update: `[count]`; written.
    """
    size, nominal, scale = sizes
    if outputs == 1:
        for k in range(count):
            update[k] = out[k]
        return
    _exponential(out[BLOCK:], count, scale, room)
    for k in range(count):
        update[k] = size * out[k] * out[k + BLOCK]
    if outputs == 3:
        _exponential(out[2 * BLOCK :], count, scale, room)
        for k in range(count):
            mean = (x[k + 6 * BLOCK] + x[k + 7 * BLOCK] + x[k + 8 * BLOCK]) * THIRD
            update[k] = update[k] * x[k + 9 * BLOCK] + nominal * mean * out[k + 2 * BLOCK]


@compiled(in_order=True)
def _exponential(x: Array, count: int, scale: float, room: Array) -> None:
    """exp(scale · x) in place, by 2ⁿ times a polynomial, the one of Cephes' `expf`; 0 and infinity beyond e^±88.

    Args:
        x: written.
        count: how many.
        scale: single.
        room: int32, for the bits of 2ⁿ.
    """
    for k in range(count):
        y = x[k] * scale
        y = np.float32(-87.3) if y < np.float32(-87.3) else y
        y = np.float32(89) if y > np.float32(89) else y
        n = np.floor(y * np.float32(1.44269504) + HALF)
        # Half of 2ⁿ, since 2¹²⁸ is infinite. Of NaN any whole number will do, for the polynomial is NaN.
        room[k] = (np.int32(n if n == n else ZERO) + np.int32(126)) << np.int32(23)
        # ln 2 in two parts: n times the first one is exact.
        r = y - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        x[k] = p * r * r + r + ONE
    powers = room.view(np.float32)
    for k in range(count):
        x[k] = x[k] * powers[k] * TWO


@compiled()
def pad(weights: Array, full: Array) -> None:
    """Copy weights into the corner of a larger array of zeros.

    Args:
        weights: of two dimensions.
        full: written.
    """
    for j in range(weights.shape[0]):
        for k in range(weights.shape[1]):
            full[j, k] = weights[j, k]
