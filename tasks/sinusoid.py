"""Sine waves of one period's length: the regression on which learned initialisations were introduced."""

import itertools
import math
from typing import Any, ClassVar

import torch
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.dense import Activation, Dense
from l2obench.tasks.start import Start, read_start

# Of x and of A, as Finn et al. 2017 state them.
REACH = 5.0
AMPLITUDES = (0.1, 5.0)


class Sinusoid(Task):
    """Fit y = A sin(x + b) by a perceptron: mean squared error on fresh points, x ~ U[−5, 5], at every step.

    A ~ U[0.1, 5] and b ~ U[0, π] are drawn anew for every function. No point comes twice, so each loss is held out
    from the steps before it. Parameters `w0 [units, 1]`, `b0 [units]`, … up to the output layer `[1, units]`, `[1]`.

    Source: Finn et al. 2017, "Model-agnostic meta-learning", section 5.1: the functions, the network, ten points. They
    repeat the same ten points at
    each step of a function. θ₀ is that of `torch.nn.Linear`, U(±1/√inputs) with biases, or a learned one.
    """

    name: ClassVar[str] = "sinusoid"
    changes_no_function: ClassVar[tuple[str, ...]] = ("horizon", "start")

    units: int = Field(default=40, ge=1, le=4096)
    """Width of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=64)
    """Number of hidden layers."""
    activation: Activation = "relu"
    """Activation of the hidden layers."""
    batch: int = Field(default=10, ge=1, le=10_000)
    """Points in a minibatch."""
    start: str | None = None
    """A learned θ₀ in place of the random one: the name of a shipped start, or the path of a .safetensors file."""

    _start: Start | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _read_start(self) -> "Sinusoid":
        if self.start is not None:
            shapes = {name: tuple(value.shape) for name, value in self._random_start(torch.Generator()).items()}
            self._start = read_start(self.start, self.name).checked(shapes)
        return self

    @property
    def start_sha256(self) -> str | None:
        """SHA-256 of the file that the learned start came from."""
        return None if self._start is None else self._start.sha256

    def network(self) -> Dense:
        return Dense((self.units,) * self.layers, self.activation)

    def sample(self, generator: torch.Generator) -> Problem:
        low, high = AMPLITUDES
        amplitude = low + (high - low) * torch.rand((), generator=generator)
        phase = math.pi * torch.rand((), generator=generator)
        params = self._random_start(generator)  # also where another one takes its place: minibatches come after it
        if self._start is not None:
            params = {name: self._start.params[name] for name in params}
        return Problem(params, {"amplitude": amplitude, "phase": phase})

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        return {"x": REACH * (2 * torch.rand(steps, self.batch, 1, generator=generator) - 1)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 1]` and `y [seeds, batch]`."""
        amplitude, phase = (data[name].unsqueeze(1) for name in ("amplitude", "phase"))
        return {"x": draw["x"], "y": amplitude * torch.sin(draw["x"].squeeze(-1) + phase)}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return (self.network().replica(params, batch["x"])[0] - batch["y"]).square().mean()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Backpropagation by hand, as for `mnist-mlp`."""
        network, x = self.network(), batch["x"]
        layers, outputs = network.forward(params, x)
        error = outputs.sub_(batch["y"][:, None, None])
        losses = error.square().mean((2, 3))
        return losses, network.backward(params, x, layers, error.mul_(2 / self.batch))

    def sources(self) -> dict[str, Any]:
        if self._start is None:
            return {}
        about = {"description": "a learned initialisation", "sha256": self._start.sha256}
        return {f"{self.name} start {self.start}": about}

    def _random_start(self, generator: torch.Generator) -> Tensors:
        params = {}
        for k, (inputs, outputs) in enumerate(itertools.pairwise([1, *self.network().hidden, 1])):
            bound = inputs**-0.5
            params[f"w{k}"] = bound * (2 * torch.rand(outputs, inputs, generator=generator) - 1)
            params[f"b{k}"] = bound * (2 * torch.rand(outputs, generator=generator) - 1)
        return params
