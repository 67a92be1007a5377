"""Multilayer perceptrons on MNIST digits: the paper's section 3.2, with its transfers to other architectures."""

import itertools
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from tasks.base import Problem, Task, Tensors
from tasks.data import DigitSource, digits, digits_sources

PIXELS, CLASSES = 784, 10


class MnistMlp(Task):
    """Train a small perceptron on digits: cross-entropy on minibatches drawn with replacement.

    Source: Andrychowicz et al. 2016, section 3.2 (one hidden layer of 20 sigmoid units, batches of 128, 100 steps).
    Parameters `w0 [units, 784]`, `b0 [units]`, … up to the output layer `[10, units]`, `[10]`. Activations are kept
    as `[..., features, batch]`, so that every product reads its operands along contiguous rows.
    """

    name: ClassVar[str] = "mnist-mlp"
    final_window: ClassVar[int] = 10

    units: int = Field(default=20, ge=1, le=4096)
    """Width of each hidden layer."""
    layers: int = Field(default=1, ge=1, le=64)
    """Number of hidden layers."""
    activation: Literal["sigmoid", "relu", "tanh", "elu"] = "sigmoid"
    """Activation of the hidden layers."""
    batch: int = Field(default=128, ge=1, le=10_000)
    """Digits in a minibatch."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """θ₀ ~ N(0, scale²), biases included."""
    data: DigitSource = "mnist5k"
    """`mnist5k`: 5,000 real digits that come in a wheel. `mnist`: all of MNIST, through torchvision."""

    def sample(self, generator: torch.Generator) -> Problem:
        widths = [PIXELS, *[self.units] * self.layers, CLASSES]
        params = {}
        for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            params[f"w{k}"] = self.scale * torch.randn(outputs, inputs, generator=generator)
            params[f"b{k}"] = self.scale * torch.randn(outputs, generator=generator)
        return Problem(params)

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(digits(self.data, "train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 784]` and one-hot `y [seeds, batch, 10]`, the same for all settings of a seed."""
        index = draw["index"]
        train = digits(self.data, "train").to(index.device)
        x = train.images.index_select(0, index.flatten()).view(*index.shape, PIXELS)
        y = train.one_hot.index_select(0, index.flatten()).view(*index.shape, CLASSES)
        return {"x": x, "y": y}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        h = batch["x"].mT
        for k in range(self.layers):
            h = self._activate(params[f"w{k}"] @ h + params[f"b{k}"][:, None])
        logits = params[f"w{self.layers}"] @ h + params[f"b{self.layers}"][:, None]
        return -(logits.log_softmax(0) * batch["y"].mT).sum(0).mean()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Backpropagation by hand: the settings of a seed share one product with its minibatch in the first layer."""
        activations = self._forward(params, batch["x"])
        log_p = activations.pop().log_softmax(2)
        target = batch["y"].mT.unsqueeze(1)
        losses = -(log_p * target).sum((2, 3)) / self.batch

        delta = log_p.exp_().sub_(target).div_(self.batch)
        grads = {}
        for k in range(self.layers, 0, -1):
            grads[f"b{k}"] = delta.sum(-1)
            grads[f"w{k}"] = delta @ activations[k - 1].mT
            delta = (params[f"w{k}"].mT @ delta).mul_(self._slope(activations[k - 1]))
        grads["b0"] = delta.sum(-1)
        grads["w0"] = torch.bmm(delta.flatten(1, 2), batch["x"]).view_as(params["w0"])
        return losses, {name: grads[name] for name in params}

    def evaluate(self, params: Tensors) -> Tensors:
        like = params["w0"]
        test = digits(self.data, "test").to(like.device)
        x = test.images.to(like.dtype).expand(like.shape[0], -1, -1)
        logits = self._forward(params, x)[-1]
        log_p = logits.log_softmax(2)
        loss = -log_p.mul(test.one_hot.to(like.dtype).mT).sum((2, 3)) / len(test.labels)
        accuracy = (logits.argmax(2) == test.labels).to(like.dtype).mean(-1)
        return {"loss": loss, "accuracy": accuracy}

    def require_data(self) -> None:
        digits(self.data, "train")

    def sources(self) -> dict[str, Any]:
        return digits_sources(self.data)

    def _forward(self, params: Tensors, x: Tensor) -> list[Tensor]:
        """Hidden activations, then logits, `[seeds, settings, features, batch]` each, of `x [seeds, batch, 784]`."""
        w0 = params["w0"]
        z = torch.bmm(w0.flatten(1, 2), x.mT).view(*w0.shape[:3], x.shape[1])
        outputs = []
        for k in range(self.layers):
            outputs.append(self._activate(z.add_(params[f"b{k}"].unsqueeze(-1))))
            z = params[f"w{k + 1}"] @ outputs[-1]
        return [*outputs, z.add_(params[f"b{self.layers}"].unsqueeze(-1))]

    def _activate(self, z: Tensor) -> Tensor:
        match self.activation:
            case "sigmoid":
                return z.sigmoid()
            case "relu":
                return z.relu()
            case "tanh":
                return z.tanh()
            case "elu":
                return torch.nn.functional.elu(z)

    def _slope(self, h: Tensor) -> Tensor:
        """The activation's derivative, from its output h."""
        match self.activation:
            case "sigmoid":
                return h * (1 - h)
            case "relu":
                return (h > 0).to(h.dtype)
            case "tanh":
                return 1 - h.square()
            case "elu":
                return torch.where(h > 0, 1, h + 1)
