"""An autoencoder on 8×8 digits."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.scikit import scikit, scikit_sources
from l2obench.tasks.dense import Activation, Dense

PIXELS = 64


class DigitAutoencoder(Task):
    """Reconstruct 8×8 digits from a short code: mean squared error over pixels in 0..1, outputs through a sigmoid.

    Widths 64 – units – code – units – 64. Parameters `w0 [units, 64]`, `b0 [units]`, … up to `w3 [64, units]`,
    `b3 [64]`.
    Data: scikit-learn's digits, 1,438 to train on.

    Source: `autoencoder`, at a twelfth of its size. Data: Alpaydin & Kaynak 1998 (UCI repository).
    """

    name: ClassVar[str] = "digit-autoencoder"
    final_window: ClassVar[int] = 10

    horizon: int = Field(default=200, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    units: int = Field(default=24, ge=1, le=4096)
    """Width of the layers before and after the code."""
    code: int = Field(default=8, ge=1, le=4096)
    """Width of the code."""
    activation: Activation = "relu"
    """Activation of the three hidden layers."""
    batch: int = Field(default=32, ge=1, le=10_000)
    """Digits in a minibatch."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """θ₀ ~ N(0, scale²), biases included."""

    def network(self) -> Dense:
        return Dense((self.units, self.code, self.units), self.activation)

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem(self.network().start(PIXELS, PIXELS, self.scale, generator))

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(scikit("digits", "train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 64]`, the same for all settings of a seed."""
        index = draw["index"]
        return {"x": scikit("digits", "train").to(index.device).inputs[index] / 16}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        pixels = self.network().replica(params, batch["x"]).sigmoid()
        return (pixels - batch["x"].mT).square().mean()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Backpropagation by hand, as for `autoencoder`."""
        network, x = self.network(), batch["x"]
        layers, logits = network.forward(params, x)
        pixels = logits.sigmoid_()
        error = pixels - x.mT.unsqueeze(1)
        losses = error.square().mean((2, 3))
        delta = error.mul_(pixels).mul_(1 - pixels).mul_(2 / (PIXELS * x.shape[1]))
        return losses, network.backward(params, x, layers, delta)

    def sources(self) -> dict[str, Any]:
        return scikit_sources("digits")
