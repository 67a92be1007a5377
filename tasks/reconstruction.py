"""Reconstruction by a fully connected autoencoder: mean squared error of pixels in 0..1, on minibatches."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.tensors import take_rows
from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.dense import Activation, Dense


class Reconstruction(Task):
    """An autoencoder of widths pixels – units – code – units – pixels, its outputs through a sigmoid.

    A subclass gives the images. Minibatches are drawn with replacement. Parameters are those of
    `l2obench.tasks.dense.Dense`: `w0 [units, pixels]`, `b0 [units]`, … up to `w3 [pixels, units]`, `b3 [pixels]`.
    """

    final_window: ClassVar[int] = 10

    units: int = Field(default=64, ge=1, le=4096)
    """Width of the layers before and after the code."""
    code: int = Field(default=16, ge=1, le=4096)
    """Width of the code."""
    activation: Activation = "relu"
    """Activation of the three hidden layers."""
    batch: int = Field(default=128, ge=1, le=10_000)
    """Digits in a minibatch."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """θ₀ ~ N(0, scale²), biases included."""

    @abstractmethod
    def examples(self, split: Literal["train", "test"]) -> Labelled:
        """The images of a split; their labels are not used.

        Args:
            split: `train` or `test`.

        Returns:
            Pixels `[n, pixels]` in 0..1. Called at every step: keep them.
        """

    def network(self) -> Dense:
        return Dense((self.units, self.code, self.units), self.activation)

    def sample(self, generator: torch.Generator) -> Problem:
        pixels = self.examples("train").inputs.shape[1]
        return Problem(self.network().start(pixels, pixels, self.scale, generator))

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(self.examples("train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, pixels]`, the same for all settings of a seed."""
        index = draw["index"]
        train = self.examples("train").to(index.device)
        return {"x": take_rows(train.inputs, index)}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        pixels = self.network().replica(params, batch["x"]).sigmoid()
        return (pixels - batch["x"].mT).square().mean()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Backpropagation by hand, as for `mnist-mlp`."""
        network, x = self.network(), batch["x"]
        layers, logits = network.forward(params, x)
        pixels = logits.sigmoid_()
        error = pixels - x.mT.unsqueeze(1)
        losses = error.square().mean((2, 3))
        delta = error.mul_(pixels).mul_(1 - pixels).mul_(2 / (x.shape[2] * x.shape[1]))
        return losses, network.backward(params, x, layers, delta)

    def require_data(self) -> None:
        self.examples("train")
