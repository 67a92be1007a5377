"""A perceptron on a block of coordinates, a row for each feature or unit; and updates from its outputs."""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import BLOCK, HALF, ONE, TWO, ZERO, Array, compiled

THIRD = np.float32(1 / 3)


@compiled()
def _add_layer(weights: Array, x: Array, y: Array, count: int) -> None:
    """y ← y + weights x. Four units by four inputs at a time: so LLVM makes vector instructions of the inner loop.

    Args:
        weights: `[units, inputs]`, both multiples of four.
        x: inputs, `[inputs · BLOCK]`.
        y: `[units · BLOCK]`; written.
        count: coordinates.
    """
    for j in range(0, weights.shape[0], 4):
        for f in range(0, weights.shape[1], 4):
            w = weights[j : j + 4, f : f + 4]
            a0, a1, a2, a3 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
            b0, b1, b2, b3 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
            c0, c1, c2, c3 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
            d0, d1, d2, d3 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
            inputs, outputs = x[f * BLOCK : (f + 4) * BLOCK], y[j * BLOCK : (j + 4) * BLOCK]
            for k in range(count):
                p, q, r, s = inputs[k], inputs[k + BLOCK], inputs[k + 2 * BLOCK], inputs[k + 3 * BLOCK]
                outputs[k] += a0 * p + a1 * q + a2 * r + a3 * s
                outputs[k + BLOCK] += b0 * p + b1 * q + b2 * r + b3 * s
                outputs[k + 2 * BLOCK] += c0 * p + c1 * q + c2 * r + c3 * s
                outputs[k + 3 * BLOCK] += d0 * p + d1 * q + d2 * r + d3 * s


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
def _rectify(y: Array, units: int, count: int) -> None:
    """ReLU in place. NaN stays NaN."""
    for j in range(units):
        part = y[j * BLOCK : j * BLOCK + count]
        for k in range(count):
            part[k] = ZERO if part[k] < ZERO else part[k]


@compiled()
def apply_network(layers: tuple[Array, ...], x: Array, y: Array, z: Array, out: Array, count: int) -> None:
    """Outputs of the network from features x and what y has of the first layer already.

    Args:
        layers: first weights; weights `[layers, units, units]` and biases between hidden layers; last ones.
        x: features, `[features · BLOCK]`.
        y: `[units · BLOCK]`; overwritten.
        z: room like y.
        out: `[4 · BLOCK]`; written.
        count: coordinates, rounded up to whole vectors: what is beyond them does no harm.
    """
    first, between, of_between, last, of_last = layers
    _add_layer(first, x, y, count)
    _rectify(y, len(first), count)
    for m in range(len(between)):
        begin_layer(of_between[m], z, count)
        _add_layer(between[m], y, z, count)
        _rectify(z, len(first), count)
        y, z = z, y
    begin_layer(of_last, out, count)
    _add_layer(last, y, out, count)


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
