"""The LSTM cell of the learned optimizers, once as a graph and once in place.

All tensors are feature-major, `[units, coordinates]`. Gates are ordered input, forget, output, candidate, with one bias
each.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2048  # coordinates whose gates stay in a core's cache


def cell_step(weight: Tensor, bias: Tensor, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step as a graph: the next hidden state and cell.

    Args:
        weight: `[4 units, inputs + units]`.
        bias: `[4 units]`.
        x: `[inputs, coordinates]`.
        hidden: `[units, coordinates]`.
        cell: `[units, coordinates]`.
    """
    units = len(hidden)
    gates = torch.addmm(bias.unsqueeze(1), weight, torch.cat([x, hidden]))
    i, f, o = gates[: 3 * units].sigmoid().chunk(3)
    c = f * cell + i * gates[3 * units :].tanh()
    return o * c.tanh(), c


def cell_step_in_place(weight: Tensor, bias: Tensor, x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """The same step without a graph, for `folded` weight and bias: hidden state and cell are overwritten.

    tanh(z) = 1 - 2σ(-2z) turns every nonlinearity into the sigmoid, which is several times cheaper here; the factor -2
    of the candidate gate is folded into its weights.
    """
    gates = torch.addmm(bias.unsqueeze(1), weight, torch.cat([x, hidden])).sigmoid_()
    i, f, o, candidate = gates.view(4, len(hidden), -1).unbind()
    cell.mul_(f).add_(i).addcmul_(i, candidate, value=-2)
    return torch.addcmul(o, o, torch.mul(cell, -2, out=candidate).sigmoid_(), value=-2, out=hidden)


def folded(parameter: Tensor) -> Tensor:
    """Weights or biases of the four gates, those of the candidate times -2."""
    units = len(parameter) // 4
    return torch.cat([parameter[: 3 * units], -2 * parameter[3 * units :]])


def blocks(coordinates: int) -> Iterator[slice]:
    """Blocks that together are all of the coordinates."""
    return (slice(start, start + BLOCK) for start in range(0, coordinates, BLOCK))
