"""Regression on a random smooth function of a few variables, by a perceptron with or without layer norm."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import elu, gelu, layer_norm, relu, silu

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.small.batched import BatchedTask, linear
from l2obench.tasks.small.starts import Initialisation, initial_weights

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "tanh": torch.tanh,
    "gelu": gelu,
    "silu": silu,
    "elu": elu,
    "sigmoid": torch.sigmoid,
}
FEATURES = 12
"""Sine waves that a random function is a sum of."""


class Regression(BatchedTask):
    """Fit y = sin(s A x) B / 3 + C x / 2 + noise, standardised, by a perceptron: mean squared error on minibatches.

    A, B, C are Gaussian, s is U[0.5, 1.5], and x is uniform on [−1, 1]. Parameters `w0 [units, inputs]`, `b0 [units]`,
    with `norm` also `gain0 [units]`, … up to the output layer `[1, units]`, `[1]`.

    Source: ours.
    """

    name: ClassVar[str] = "regression"

    horizon: int = Field(default=200, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    inputs: int = Field(default=8, ge=1, le=4096)
    """Variables of the function."""
    units: int = Field(default=24, ge=1, le=4096)
    """Width of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=64)
    """Number of hidden layers."""
    activation: Literal["relu", "tanh", "gelu", "silu", "elu", "sigmoid"] = "gelu"
    """Activation of the hidden layers."""
    norm: bool = False
    """Layer norm before each activation."""
    points: int = Field(default=1000, ge=1, le=1_000_000)
    """Points to train on."""
    noise: float = Field(default=0.1, ge=0, le=100)
    """Standard deviation of the noise on y, whose own is 1."""
    batch: int = Field(default=32, ge=1, le=10_000)
    """Points in a minibatch."""
    initialisation: Initialisation = "torch"
    """How θ₀ is drawn; biases start at 0."""

    def sample(self, generator: torch.Generator) -> Problem:
        waves = torch.randn(self.inputs, FEATURES, generator=generator)
        heights = torch.randn(FEATURES, generator=generator)
        slope = torch.randn(self.inputs, generator=generator)
        speed = 0.5 + torch.rand((), generator=generator)
        x = 2 * torch.rand(self.points, self.inputs, generator=generator) - 1
        y = torch.sin(speed * x @ waves) @ heights / 3 + x @ slope / 2
        y = (y - y.mean()) / y.std(correction=0).clamp_min(1e-6)
        data = {"x": x, "y": y + self.noise * torch.randn(self.points, generator=generator)}
        params, fan_in = {}, self.inputs
        for k in range(self.layers + 1):
            outputs = self.units if k < self.layers else 1
            params[f"w{k}"] = initial_weights(self.initialisation, generator, outputs, fan_in)
            params[f"b{k}"] = torch.zeros(outputs)
            if self.norm and k < self.layers:
                params[f"gain{k}"] = torch.ones(outputs)
            fan_in = outputs
        return Problem(params, data)

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        return {"index": torch.randint(self.points, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, inputs]` and `y [seeds, batch]`."""
        index = draw["index"]
        x = data["x"].gather(1, index.unsqueeze(-1).expand(-1, -1, self.inputs))
        return {"x": x, "y": data["y"].gather(1, index)}

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        h = batch["x"].unsqueeze(1)
        for k in range(self.layers + 1):
            h = linear(h, params, f"w{k}", f"b{k}")
            if k < self.layers:
                if self.norm:
                    h = layer_norm(h, h.shape[-1:]) * params[f"gain{k}"].unsqueeze(-2)
                h = ACTIVATIONS[self.activation](h)
        return (h.squeeze(-1) - batch["y"].unsqueeze(1)).square().mean(-1)
