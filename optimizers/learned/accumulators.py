"""What optimizers of Metz et al. remember of a tensor's gradients: momenta, squares, and Adafactor's rows and columns.

Their first dimension counts decays, then come those of the stacked parameter, `[decays, seeds, settings, ...]`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.optimizers.base import State, blend

MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SQUARE_DECAY = 0.999
FACTORED_DECAYS = (0.9, 0.99, 0.999)
# Added to factored means under a root, and the least of them: a row whose gradients are all zero would give infinity.
SMALLEST = 1e-9


@dataclass(frozen=True)
class Accumulators:
    """The accumulators of a tensor with its gradient in them, and what the rules make of them."""

    momenta: Tensor
    square: Tensor
    """v, `[seeds, settings, ...]`."""
    inverse_root: Tensor
    """q = 1 / √(v + ε)."""
    directions: Tensor
    """m q for each m."""
    rows: Tensor
    """r: means of squares over the largest dimension, which is kept with size 1; w for vectors and scalars."""
    columns: Tensor
    """c: means over the second largest dimension likewise; w for vectors and scalars."""
    scaled_grad: Tensor
    """g s for each s."""
    scaled_momenta: Tensor
    """m s for each m and the s of the same place."""

    @property
    def kept(self) -> list[Tensor]:
        """r, c, 1 / √(r + 1e-8) and 1 / √(c + 1e-8), each for all coordinates."""
        parts = (self.rows, self.columns, (self.rows + 1e-8).rsqrt(), (self.columns + 1e-8).rsqrt())
        return [part.expand_as(self.momenta) for part in parts]


def initial_accumulators(param: Tensor, outputs_are_largest: bool = False) -> State:
    """The accumulators before the first gradient.

    Args:
        param: `[seeds, settings, ...]`.
        outputs_are_largest: as in `accumulate`.
    """
    zeros = {"momenta": param.new_zeros(len(MOMENTUM_DECAYS), *param.shape), "square": torch.zeros_like(param)}
    if (dims := factored_dimensions(param, outputs_are_largest)) is None:
        return {**zeros, "rows": param.new_zeros(len(FACTORED_DECAYS), *param.shape)}
    second, largest = dims
    means = {"rows": param.mean(largest, keepdim=True), "columns": param.mean(second, keepdim=True)}
    return {**zeros, **{part: mean.new_zeros(len(FACTORED_DECAYS), *mean.shape) for part, mean in means.items()}}


def accumulate(
    grad: Tensor,
    memory: State,
    momentum: Tensor,
    square: Tensor | float,
    factored: Tensor,
    smallest_of_vectors: float,
    epsilon: float = 1e-6,
    outputs_are_largest: bool = False,
) -> tuple[Accumulators, State]:
    """Bring a gradient into the accumulators of its tensor: what the rules read from them, and the next state.

    m ← β m + (1 − β) g; v ← β v + (1 − β) g²; r and c the same with means of g² + 1e-30 over the largest dimension of
    the tensor and over its second largest. They stand for 1 / √v as s = (r / (mean(r) + 1e-9))^−½ · c^−½, with mean(r)
    over the second largest dimension and both factors at most 1e9^½. Vectors and scalars have one
    w ← β w + (1 − β) (g² + 1e-30) in place of r and of c; there the gradient's s is 1 / √(w + 1e-9) and the momenta's
    1 / √(w + `smallest_of_vectors`).

    Args:
        grad: `[seeds, settings, ...]`.
        memory: of this tensor; consumed.
        momentum: 1 − β for each momentum, ready to multiply `[decays, seeds, settings, ...]`.
        square: 1 − β for v.
        factored: 1 − β for each r and c.
        smallest_of_vectors: what is added to w for the momenta's s.
        epsilon: ε beside v, under the root.
        outputs_are_largest: of dimensions of equal size, outputs count as the largest and inputs as the next one. This
            is what published weights were trained with; torch's layout has outputs first, where a later dimension
            would otherwise count as the larger one.
    """
    momenta = blend(memory["momenta"], grad.expand_as(memory["momenta"]), momentum)
    squared = grad * grad
    average = blend(memory["square"], squared, square)
    inverse_root = (average + epsilon).rsqrt()
    squared = squared + 1e-30
    if (dims := factored_dimensions(grad, outputs_are_largest)) is None:
        rows = columns = blend(memory["rows"], squared.expand_as(memory["rows"]), factored)
        of_grad, of_momenta = ((rows + small).rsqrt() for small in (SMALLEST, smallest_of_vectors))
        factors = {"rows": rows}
    else:
        second, largest = dims
        means = squared.mean(largest, keepdim=True), squared.mean(second, keepdim=True)
        rows, columns = (
            blend(memory[part], mean.expand_as(memory[part]), factored)
            for part, mean in zip(("rows", "columns"), means, strict=True)
        )
        relative = rows / (rows.mean(second + 1, keepdim=True) + SMALLEST)  # a dimension further: decays come first
        of_grad = of_momenta = relative.clamp_min(SMALLEST).rsqrt() * columns.clamp_min(SMALLEST).rsqrt()
        factors = {"rows": rows, "columns": columns}
    accumulators = Accumulators(
        momenta=momenta,
        square=average,
        inverse_root=inverse_root,
        directions=momenta * inverse_root,
        rows=rows,
        columns=columns,
        scaled_grad=grad * of_grad,
        scaled_momenta=momenta * of_momenta,
    )
    return accumulators, {"momenta": momenta, "square": average, **factors}


def factored_dimensions(stacked: Tensor, outputs_are_largest: bool) -> tuple[int, int] | None:
    """The second largest and the largest dimension of `[seeds, settings, outputs, inputs, ...]`.

    None for vectors and scalars, which are not factored. Of dimensions of equal size the later one counts as larger;
    with `outputs_are_largest` outputs do, then inputs, then the later one.

    Args:
        stacked: of this shape.
        outputs_are_largest: as in `accumulate`.
    """
    sizes = stacked.shape[2:]
    if len(sizes) < 2:
        return None
    # The order in which ties are broken: jax has filters as [height, width, inputs, outputs].
    order = [*range(2, len(sizes)), 1, 0] if outputs_are_largest else range(len(sizes))
    *_, second, largest = sorted(order, key=sizes.__getitem__)
    return second + 2, largest + 2
