"""An autoencoder of fully connected layers on MNIST digits: no labels, another loss, a narrow layer in the middle."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.digits import DigitSource, digits, digits_sources
from l2obench.tasks.dense import Activation, Dense

PIXELS = 784


class Autoencoder(Task):
    """Reconstruct digits from a short code: mean squared error over pixels, on minibatches drawn with replacement.

    Widths 784 – units – code – units – 784; the outputs pass through a sigmoid. Parameters `w0 [units, 784]`,
    `b0 [units]`, … up to `w3 [784, units]`, `b3 [784]`. Pixels are in 0..1. The held-out loss is the same error on all
    test digits.

    Source: the autoencoders of Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in
    learned optimizers" (library learned_optimization, task ImageMLPAE_Mnist_128x32x128_bs128), at half the widths.
    """

    name: ClassVar[str] = "autoencoder"
    final_window: ClassVar[int] = 10

    horizon: int = Field(default=500, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
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
    data: DigitSource = "mnist5k"
    """`mnist5k`: 5,000 real digits that come in a wheel. `mnist`: all of MNIST, through torchvision."""

    def network(self) -> Dense:
        return Dense((self.units, self.code, self.units), self.activation)

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem(self.network().start(PIXELS, PIXELS, self.scale, generator))

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(digits(self.data, "train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 784]`, the same for all settings of a seed."""
        index = draw["index"]
        train = digits(self.data, "train").to(index.device)
        return {"x": train.inputs.index_select(0, index.flatten()).view(*index.shape, PIXELS)}

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
        delta = error.mul_(pixels).mul_(1 - pixels).mul_(2 / (PIXELS * x.shape[1]))
        return losses, network.backward(params, x, layers, delta)

    def evaluate(self, params: Tensors) -> Tensors:
        like = params["w0"]
        x = digits(self.data, "test").to(like.device).inputs.to(like.dtype).expand(like.shape[0], -1, -1)
        _, logits = self.network().forward(params, x)
        return {"loss": logits.sigmoid_().sub_(x.mT.unsqueeze(1)).square_().mean((2, 3))}

    def require_data(self) -> None:
        digits(self.data, "train")

    def sources(self) -> dict[str, Any]:
        return digits_sources(self.data)
