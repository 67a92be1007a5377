"""e^x, and the sigmoids and tanhs of an LSTM cell, of vectors, accurate to a few units in the last place."""

from typing import Any

import numpy as np

from l2obench.optimizers.learned.fused.compiling import ONE, TWO, ZERO, compiled
from l2obench.optimizers.learned.fused.vectors import at_least, at_most, multiply_add, power_of_two, spread

# Arguments are kept within ±28: a sigmoid is 0 or 1 there up to 1e-12, and three of 1 + e^28 have a product.
LIMIT = np.float32(28)
LOG2_E = np.float32(1.44269504)
# Added to a number it leaves the whole number next to it in the last bits, for `power_of_two`.
SHIFT = np.float32(1.5 * 2**23 + 127)
# Off by 2e-9, and n is at most 41: below rounding, as the product is not rounded before the sum.
LN_2 = np.float32(-0.6931471806)
MINUS_TWO = np.float32(-2)
# (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2, from the highest power down: minimax, so that eʳ is off by 4e-9 of itself. One
# power more, as Cephes' `expf` has, does not show in single precision.
P0, P1, P2, P3, P4 = map(
    np.float32, (1.3814598788e-3, 8.3687165752e-3, 4.1668388993e-2, 1.6666521132e-1, 4.9999994040e-1)
)


@compiled(in_order=True, inline=True)
def exponential_less_one(x: Any) -> Any:
    """e^x − 1 for x kept within ±28, exact to rounding near 0 too; NaN stays NaN.

    Args:
        x: a vector.
    """
    x = at_most(at_least(x, spread(-LIMIT)), spread(LIMIT))
    shifted = multiply_add(x, spread(LOG2_E), spread(SHIFT))
    n = shifted - spread(SHIFT)
    r = multiply_add(n, spread(LN_2), x)
    p = multiply_add(r, spread(P0), spread(P1))
    p = multiply_add(p, r, spread(P2))
    p = multiply_add(p, r, spread(P3))
    p = multiply_add(p, r, spread(P4))
    power = power_of_two(shifted)
    return multiply_add(power, multiply_add(p * r, r, r), power - spread(ONE))


@compiled(in_order=True, inline=True)
def next_cell(i: Any, f: Any, candidate: Any, cell: Any) -> Any:
    """σ(f) c + σ(i) tanh(candidate) as one fraction: a division costs as much as an exponential.

    Args:
        i: −1 times the input gate before its sigmoid.
        f: −1 times the forget gate.
        candidate: −2 times the candidate.
        cell: c.
    """
    i, f, less = exponential_less_one(i) + spread(TWO), exponential_less_one(f) + spread(TWO), candidate
    less = exponential_less_one(less)
    both = i * (less + spread(TWO))
    return (cell * both - less * f) / (f * both)


@compiled(in_order=True, inline=True)
def next_hidden(o: Any, cell: Any) -> Any:
    """σ(o) tanh(c).

    Args:
        o: −1 times the output gate.
        cell: c.
    """
    less = exponential_less_one(cell * spread(MINUS_TWO))
    return (spread(ZERO) - less) / ((exponential_less_one(o) + spread(TWO)) * (less + spread(TWO)))


@compiled(in_order=True, inline=True)
def exponential_linear_unit(x: Any) -> Any:
    """ELU: x above 0, e^x − 1 below.

    Args:
        x: a vector.
    """
    zero = spread(ZERO)
    return at_least(x, zero) + exponential_less_one(at_most(x, zero))
