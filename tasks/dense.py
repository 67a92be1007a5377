"""Fully connected networks by hand, forward and backward, many replicas at once: perceptrons and autoencoders use it.

Parameters are `w0 [outputs, inputs]`, `b0 [outputs]`, `w1`, …. Activations are kept as `[..., features, batch]`, so
that every product reads its operands along contiguous rows.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu, gelu

from l2obench.tasks.base import Tensors

Activation = Literal["sigmoid", "relu", "tanh", "elu", "gelu"]


class Hidden(NamedTuple):
    """A hidden layer's input and output, `[seeds, settings, units, batch]` each."""

    z: Tensor
    h: Tensor


@dataclass(frozen=True)
class Dense:
    """A network with these widths of hidden layers, all with one activation; its output layer is linear."""

    hidden: tuple[int, ...]
    activation: Activation = "sigmoid"

    def start(self, inputs: int, outputs: int, scale: float, generator: torch.Generator) -> Tensors:
        """Weights and biases of one network, N(0, scale²) each.

        Args:
            inputs: features of an example.
            outputs: width of the output layer.
            scale: standard deviation.
            generator: the source of all randomness.

        Returns:
            `w0 [width, inputs]`, `b0 [width]`, … of one network.
        """
        params = {}
        for k, (before, after) in enumerate(itertools.pairwise([inputs, *self.hidden, outputs])):
            params[f"w{k}"] = scale * torch.randn(after, before, generator=generator)
            params[f"b{k}"] = scale * torch.randn(after, generator=generator)
        return params

    def replica(self, params: Tensors, x: Tensor) -> Tensor:
        """Outputs of ONE network, without in-place operations, so that `torch.func` can follow.

        Args:
            params: of one network, as `start` gives them.
            x: `[batch, inputs]`.

        Returns:
            `[outputs, batch]`.
        """
        h = x.mT
        for k in range(len(self.hidden)):
            h = self._activate(params[f"w{k}"] @ h + params[f"b{k}"][:, None])
        last = len(self.hidden)
        return params[f"w{last}"] @ h + params[f"b{last}"][:, None]

    def forward(self, params: Tensors, x: Tensor) -> tuple[list[Hidden], Tensor]:
        """Hidden layers and outputs of many networks.

        The settings of a seed share one product with its minibatch in the first layer.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            x: `[seeds, batch, inputs]`.

        Returns:
            The hidden layers, as `backward` takes them, and outputs `[seeds, settings, outputs, batch]`.
        """
        w0 = params["w0"]
        z = torch.baddbmm(params["b0"].flatten(1, 2).unsqueeze(-1), w0.flatten(1, 2), x.mT)
        z = z.view(*w0.shape[:3], x.shape[1])
        layers: list[Hidden] = []
        for k in range(1, len(self.hidden) + 1):
            layers.append(Hidden(z, self._activate(z)))
            z = (params[f"w{k}"] @ layers[-1].h).add_(params[f"b{k}"].unsqueeze(-1))
        return layers, z

    def backward(self, params: Tensors, x: Tensor, layers: list[Hidden], delta: Tensor) -> Tensors:
        """Gradients with the names and shapes of `params`.

        Args:
            params: as in `forward`.
            x: as in `forward`.
            layers: from `forward`.
            delta: the loss's derivative in the outputs, `[seeds, settings, outputs, batch]`.
        """
        grads = {}
        for k in range(len(layers), 0, -1):
            grads[f"b{k}"] = delta.sum(-1)
            grads[f"w{k}"] = delta @ layers[k - 1].h.mT
            delta = (params[f"w{k}"].mT @ delta).mul_(self._slope(layers[k - 1]))
        grads["b0"] = delta.sum(-1)
        grads["w0"] = torch.bmm(delta.flatten(1, 2), x).view_as(params["w0"])
        return {name: grads[name] for name in params}

    def _activate(self, z: Tensor) -> Tensor:
        match self.activation:
            case "sigmoid":
                return z.sigmoid()
            case "relu":
                return z.relu()
            case "tanh":
                return z.tanh()
            case "elu":
                return elu(z)
            case "gelu":
                return gelu(z)

    def _slope(self, layer: Hidden) -> Tensor:
        """The activation's derivative, from its output where that is enough."""
        z, h = layer
        match self.activation:
            case "sigmoid":
                return (1 - h).mul_(h)
            case "relu":
                return (h > 0).to(h.dtype)
            case "tanh":
                return 1 - h.square()
            case "elu":
                return torch.where(h > 0, 1, h + 1)
            case "gelu":  # zΦ(z), Hendrycks & Gimpel 2016: Φ(z) + zφ(z)
                cumulative: Tensor = torch.special.ndtr(z)
                return cumulative + z * torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
