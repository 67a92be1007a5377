"""A convolutional network on 8×8 digits, with or without batch norm."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import unfold

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.data.folds import FOLDS, of_fold
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.scikit import scikit_digits, scikit_sources
from l2obench.tasks.small.batched import BatchedTask, linear, mean_cross_entropy
from l2obench.tasks.small.starts import Initialisation, initial_weights

SIDE, KERNEL, CLASSES = 8, 3, 10


class DigitCnn(BatchedTask):
    """Two convolutions of 3×3, the first with stride 2, ReLU, a mean over all places, a linear layer: cross-entropy.

    Data: scikit-learn's digits, 1,438 to train on, pixels in 0..1. Parameters `conv0.weight [channels, 1, 3, 3]`,
    `conv0.shift`, `conv1.weight [2 channels, channels, 3, 3]`, `conv1.shift`, with `norm` also `conv0.gain`,
    `conv1.gain`, and `fc.weight [10, 2 channels]`, `fc.bias`. Batch norm uses the minibatch's statistics,
    in evaluation those of the held-out digits.

    Source: ours. Data: Alpaydin & Kaynak 1998 (UCI repository).
    """

    name: ClassVar[str] = "digit-cnn"

    horizon: int = Field(default=200, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    channels: int = Field(default=8, ge=1, le=512)
    """Channels of the first convolution; the second has twice as many."""
    norm: bool = True
    """Batch norm after each convolution."""
    batch: int = Field(default=16, ge=2, le=10_000)
    """Digits in a minibatch."""
    initialisation: Initialisation = "torch"
    """How θ₀ is drawn; biases and shifts start at 0, gains at 1."""
    fold: int | None = Field(default=None, ge=0, lt=FOLDS)
    """Number of a fifth of the training digits that is held out, for held-out cross-entropy and accuracy. Unless given,
    all are trained on and nothing is evaluated."""

    def part(self, split: Literal["train", "test"]) -> Labelled:
        """The training digits that are trained on, or those of them that are held out.

        Args:
            split: `train` or `test`; there is no `test` without a fold.
        """
        digits = scikit_digits("train")
        return digits if self.fold is None else of_fold(digits, self.fold, split)

    def sample(self, generator: torch.Generator) -> Problem:
        params: Tensors = {}
        for k, (inputs, outputs) in enumerate(((1, self.channels), (self.channels, 2 * self.channels))):
            params[f"conv{k}.weight"] = initial_weights(self.initialisation, generator, outputs, inputs, KERNEL, KERNEL)
            if self.norm:
                params[f"conv{k}.gain"] = torch.ones(outputs)
            params[f"conv{k}.shift"] = torch.zeros(outputs)
        params["fc.weight"] = initial_weights(self.initialisation, generator, CLASSES, 2 * self.channels)
        params["fc.bias"] = torch.zeros(CLASSES)
        return Problem(params)

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(self.part("train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 1, 8, 8]` and labels `y [seeds, batch]`, the same for all settings of a seed."""
        index = draw["index"]
        train = self.part("train").to(index.device)
        return {"x": train.inputs[index].view(*index.shape, 1, SIDE, SIDE), "y": train.labels[index]}

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        return mean_cross_entropy(self._logits(params, batch["x"]), batch["y"])

    def evaluate(self, params: Tensors) -> Tensors:
        if self.fold is None:
            return {}
        like = params["fc.bias"]
        held_out = self.part("test").to(like.device)
        x = held_out.inputs.to(like.dtype).view(1, -1, 1, SIDE, SIDE).expand(len(like), -1, -1, -1, -1)
        labels = held_out.labels.expand(len(like), -1)
        logits = self._logits(params, x)
        accuracy = (logits.argmax(-1) == labels.unsqueeze(1)).to(like.dtype).mean(-1)
        return {"loss": mean_cross_entropy(logits, labels), "accuracy": accuracy}

    def _logits(self, params: Tensors, x: Tensor) -> Tensor:
        """`[seeds, settings, batch, 10]`, x as `minibatch` gives it."""
        h = x.unsqueeze(1)
        for k, stride in enumerate((2, 1)):
            h = self._layer(h, params, f"conv{k}", stride)
        return linear(h.mean((-2, -1)), params, "fc.weight", "fc.bias")

    def _layer(self, x: Tensor, params: Tensors, part: str, stride: int) -> Tensor:
        """`[seeds, settings, batch, channels, height, width]` from the same, settings or 1."""
        # Products of unfolded places: convolutions with a filter for each replica are far slower on a CPU.
        seeds, settings, batch, channels, side, _ = x.shape
        places = unfold(x.flatten(0, 2), KERNEL, padding=1, stride=stride)
        places = places.view(seeds, settings, batch, channels * KERNEL**2, -1).transpose(2, 3).flatten(3)
        z = params[f"{part}.weight"].flatten(3) @ places
        if self.norm:
            deviation, mean = torch.var_mean(z, dim=-1, correction=0, keepdim=True)
            z = (z - mean) * (deviation + 1e-5).rsqrt() * params[f"{part}.gain"].unsqueeze(-1)
        z = (z + params[f"{part}.shift"].unsqueeze(-1)).relu()
        return z.view(*z.shape[:3], batch, side // stride, side // stride).transpose(2, 3)

    def sources(self) -> dict[str, Any]:
        return scikit_sources("digits")
