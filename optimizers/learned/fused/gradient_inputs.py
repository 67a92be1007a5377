"""The inputs that the LSTM makes of a gradient, `RecurrentOptimizer.preprocess`, for a tile of coordinates."""

import math
from typing import Any

import numpy as np

from l2obench.optimizers.learned.fused.compiling import HALF, ONE, Array, compiled
from l2obench.optimizers.learned.fused.vector_parts import (
    absolute,
    binary_exponent,
    binary_fraction,
    where_at_least,
    with_sign,
)
from l2obench.optimizers.learned.fused.vectors import LANES, at_least, load, multiply_add, spread, store

Preprocessing = tuple[int, Any, Any, Any, Any]
"""How many inputs are made of a gradient, 0 where it is one itself; e^-p, e^p, 1 / p, e^{p/2}."""
NONE: Preprocessing = (0, np.float32(0), np.float32(0), np.float32(0), np.float32(0))
LARGEST = np.float32(3.4028235e38)
# In two parts: a whole number times the first one is exact.
LN_2, LN_2_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
Q0, Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8 = map(
    np.float32,
    (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ),
)


def as_preprocessing(inputs: int, p: float) -> Preprocessing:
    """Describe `log` or `log-linear`.

    Args:
        inputs: 2 or 3.
        p: of `RecurrentOptimizer`.
    """
    single = np.float32
    return inputs, single(math.exp(-p)), single(math.exp(p)), single(1 / p), single(math.exp(p / 2))


@compiled(in_order=True, inline=True)
def natural_logarithm(x: Any) -> Any:
    """ln x to a unit in the last place; infinite where x is.

    Args:
        x: a vector, above 0, normal.

    Source: the polynomial is that of Cephes' `logf`.
    """
    exponent, f = binary_exponent(x), binary_fraction(x) - spread(ONE)
    q = multiply_add(spread(Q0), f, spread(Q1))
    q = multiply_add(q, f, spread(Q2))
    q = multiply_add(q, f, spread(Q3))
    q = multiply_add(q, f, spread(Q4))
    q = multiply_add(q, f, spread(Q5))
    q = multiply_add(q, f, spread(Q6))
    q = multiply_add(q, f, spread(Q7))
    q = multiply_add(q, f, spread(Q8))
    square = f * f
    rest = multiply_add(exponent, spread(LN_2_REST), q * f * square)
    rest = multiply_add(square, spread(-HALF), rest)
    # Below the logarithm, but for infinity.
    return at_least(multiply_add(exponent, spread(LN_2), f + rest), x - spread(LARGEST))


@compiled(in_order=True)
def write_inputs(preprocessing: Preprocessing, grad: Array, x: Array) -> None:
    """The inputs of one tile.

    Args:
        preprocessing: from `as_preprocessing`.
        grad: `[LANES]`.
        x: `[inputs · LANES]`; written.
    """
    inputs, smallest, by_smallest, by_p, linear = preprocessing
    g, limit = load(grad, 0), spread(smallest)
    size = absolute(g)
    logarithm = natural_logarithm(at_least(limit, size)) * spread(by_p)
    store(x, 0, where_at_least(size, limit, logarithm, spread(-ONE)))
    store(x, LANES, where_at_least(size, limit, with_sign(spread(ONE), g), g * spread(by_smallest)))
    if inputs == 3:
        store(x, 2 * LANES, g * spread(linear))
