"""The LSTM cell of the learned optimizers, and layers of it: once as a graph and once in place.

All tensors are feature-major, `[units, coordinates]`. Gates are ordered input, forget, output, candidate, with one bias
each. A stack of networks, each with coordinates of its own, is a dimension in front of all tensors.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

# Coordinates at a time: few enough that their gates stay in a core's cache, enough that calls cost little beside them.
BLOCK = 4096
Layer = tuple[Tensor, Tensor]
"""Weight and bias of a layer of cells."""


def cell_step(weight: Tensor, bias: Tensor, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step as a graph.

    Args:
        weight: `[4 units, inputs + units]`.
        bias: `[4 units]`.
        x: `[inputs, coordinates]`.
        hidden: `[units, coordinates]`.
        cell: `[units, coordinates]`.

    Returns:
        The next hidden state and cell.

    Source: Hochreiter & Schmidhuber 1997, with the forget gates of Gers et al. 2000.
    """
    units = hidden.shape[-2]
    gates = linear(weight, bias, torch.cat([x, hidden], -2))
    i, f, o = gates.narrow(-2, 0, 3 * units).sigmoid().chunk(3, -2)
    c = f * cell + i * gates.narrow(-2, 3 * units, units).tanh()
    return o * c.tanh(), c


def cell_step_in_place(weight: Tensor, bias: Tensor, x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """The same step without a graph: hidden state and cell are overwritten.

    tanh(z) = 1 - 2σ(-2z) turns every nonlinearity into the sigmoid, which is several times cheaper here. The factor -2
    of the candidate gate is folded into its weights.

    Args:
        weight: of a layer from `fold_candidate_gate`, `[4 units, inputs + units]`.
        bias: likewise, `[4 units]`.
        x: `[inputs, coordinates]`.
        hidden: `[units, coordinates]`.
        cell: `[units, coordinates]`.

    Returns:
        `hidden`, with the next hidden state in it.
    """
    gates = linear(weight, bias, torch.cat([x, hidden], -2)).sigmoid_()
    i, f, o, candidate = gates.view(*hidden.shape[:-2], 4, *hidden.shape[-2:]).unbind(-3)
    cell.mul_(f).add_(i).addcmul_(i, candidate, value=-2)
    return torch.addcmul(o, o, torch.mul(cell, -2, out=candidate).sigmoid_(), value=-2, out=hidden)


def layers_step(layers: Sequence[Layer], x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of all layers as a graph: the last one's activations, then hidden state and cell.

    Args:
        layers: weights and biases.
        x: `[inputs, coordinates]`.
        hidden: `[layers, units, coordinates]`.
        cell: `[layers, units, coordinates]`.
    """
    new_hidden, new_cell = [], []
    for k, (weight, bias) in enumerate(layers):
        x, c = cell_step(weight, bias, x, hidden[k], cell[k])
        new_hidden.append(x)
        new_cell.append(c)
    return x, torch.stack(new_hidden), torch.stack(new_cell)


def layers_step_in_place(layers: Sequence[Layer], x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """The same without a graph; hidden and cell are overwritten.

    Args:
        layers: from `fold_candidate_gate`.
        x: `[inputs, coordinates]`.
        hidden: `[layers, units, coordinates]`.
        cell: `[layers, units, coordinates]`.

    Returns:
        The last layer's activations, `[units, coordinates]`.
    """
    for k, (weight, bias) in enumerate(layers):
        x = cell_step_in_place(weight, bias, x, hidden[k], cell[k])
    return x


def linear(weight: Tensor, bias: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """weight x + bias.

    Args:
        weight: `[outputs, inputs]`.
        bias: `[outputs]`.
        x: `[inputs, coordinates]`.
        out: where the result goes; None: new memory.
    """
    product = torch.addmm if weight.ndim == 2 else torch.baddbmm
    return product(bias.unsqueeze(-1), weight, x, out=out)


def layers_of(phi: Mapping[str, Tensor], count: int) -> list[Layer]:
    """The layers among the meta-parameters of a network.

    Args:
        phi: φ by name: `lstm0.weight`, `lstm0.bias`, `lstm1.weight`, …
        count: how many layers there are.
    """
    return [(phi[f"lstm{k}.weight"], phi[f"lstm{k}.bias"]) for k in range(count)]


def fold_candidate_gate(layers: Sequence[Layer]) -> list[Layer]:
    """Layers as `cell_step_in_place` takes them: weights and biases of the candidate times -2.

    Args:
        layers: as `cell_step` takes them. Only read.
    """
    return [(_fold_rows(weight, -2), _fold_rows(bias, -1)) for weight, bias in layers]


def random_network(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> dict[str, Tensor]:
    """LeCun normal weights, a small output, zero biases but for the forget gates', which are 1.

    Args:
        shapes: names and shapes. Names of cells begin with `lstm`, those of the output layer with `output`.
        generator: the source of all randomness.
    """
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            tensors[name] = torch.zeros(shape)
            if name.startswith("lstm"):
                units = shape[0] // 4
                tensors[name][units : 2 * units] = 1.0
        else:
            scale = 0.1 if name.startswith("output") else 1.0
            tensors[name] = scale * torch.randn(shape, generator=generator) / shape[1] ** 0.5
    return tensors


def blocks(coordinates: int, networks: int = 1) -> Iterator[slice]:
    """Blocks of coordinates that together are all of them, BLOCK of all networks together.

    Args:
        coordinates: how many each network has.
        networks: how many are stacked.
    """
    size = max(1, BLOCK // networks)
    return (slice(start, start + size) for start in range(0, coordinates, size))


def _fold_rows(parameter: Tensor, dim: int) -> Tensor:
    *others, candidate = parameter.chunk(4, dim)
    return torch.cat([*others, -2 * candidate], dim)
