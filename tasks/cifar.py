"""A small convolutional network on CIFAR-10: the paper's section 3.3, with its label subsets."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from l2obench.foundation.tensors import take_rows
from l2obench.tasks.base import Gradient, Problem, Task, Tensors
from l2obench.tasks.cifar_network import (
    CONVOLUTIONS,
    HIDDEN,
    channel_statistics,
    for_each_replica,
    logits_of,
    loss_and_grad_by_hand,
)
from l2obench.tasks.data.cifar10 import check_cifar10, cifar10_sources
from l2obench.tasks.data.folder import data_dir
from l2obench.tasks.data.images import Images, ImageSource, label_range, labelled_images
from l2obench.tasks.data.photos10 import photos10_sources

# Enough that their statistics differ little from those of all training images; fewer than all, to save time.
STATISTICS_IMAGES = 2000
# Test images at a time: bounds the memory of the activations.
EVALUATION_BATCH = 500


class CifarCnn(Task):
    """Train a small CNN on 32×32 colour images: cross-entropy on minibatches drawn with replacement.

    Data: pixels in −1..1; with `photos10` 5,000 crops to train on and 1,000 to test, with `cifar10` 50,000 and 10,000.
    Parameters `conv0.weight [channels, 3, 3, 3]`, `conv0.gain [channels]`, `conv0.shift [channels]`, …,
    `fc0.weight [32, 16 · channels]`, `fc0.bias [32]`, `fc1.weight [labels, 32]`, `fc1.bias [labels]`.

    Batch norm uses the minibatch's statistics, a function of θ and the minibatch alone, so that replicas stay
    independent and nothing is carried from step to step. Held-out metrics use the statistics of 2,000 training images
    at θ_T in place of running averages.

    Source: Andrychowicz et al. 2016, section 3.3: three convolutions (3×3, each followed by batch norm, ReLU and 2×2
    max pooling), a fully connected layer of 32 ReLU units, batches of 128. The widths are not stated there.
    """

    name: ClassVar[str] = "cifar-cnn"
    final_window: ClassVar[int] = 10
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "conv": tuple(f"conv{k}.weight" for k in range(CONVOLUTIONS)),
        "fc": (
            *(f"conv{k}.{part}" for k in range(CONVOLUTIONS) for part in ("gain", "shift")),
            *(f"fc{k}.{part}" for k in range(2) for part in ("weight", "bias")),
        ),
    }

    horizon: int = Field(default=1000, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    channels: int = Field(default=16, ge=1, le=512)
    """Channels of each convolution. The paper does not state them; the default is ours."""
    labels: str = "0-9"
    """Which labels the images have, as in 0-9, 0-4 (CIFAR-5), 0-1 (CIFAR-2), or 5-9, which CIFAR-5 holds out."""
    batch: int = Field(default=128, ge=2, le=10_000)
    """Images in a minibatch."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """Weights and biases of θ₀ ~ N(0, scale²); batch norm starts at gain 1 and shift 0."""
    data: ImageSource = "photos10"
    """`photos10`: crops of ten photographs that come in wheels. `cifar10`: CIFAR-10, through torchvision."""

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, value: str) -> str:
        match = re.fullmatch(r"([0-9])-([0-9])", value)
        if match is None or match[1] >= match[2]:
            raise ValueError(f"labels={value}: expected a range of at least two of the ten labels, as in 0-4")
        return value

    def sample(self, generator: torch.Generator) -> Problem:
        params: Tensors = {}
        inputs = 3
        for k in range(CONVOLUTIONS):
            params[f"conv{k}.weight"] = self.scale * torch.randn(self.channels, inputs, 3, 3, generator=generator)
            params[f"conv{k}.gain"] = torch.ones(self.channels)
            params[f"conv{k}.shift"] = torch.zeros(self.channels)
            inputs = self.channels
        inputs = self.channels * (32 // 2**CONVOLUTIONS) ** 2
        for k, outputs in enumerate((HIDDEN, len(label_range(self.labels)))):
            params[f"fc{k}.weight"] = self.scale * torch.randn(outputs, inputs, generator=generator)
            params[f"fc{k}.bias"] = self.scale * torch.randn(outputs, generator=generator)
            inputs = outputs
        return Problem(params)

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(self._split("train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, 3, 32, 32]` and labels `y [seeds, batch]`, the same for all settings of a seed."""
        index = draw["index"]
        train = self._split("train").to(index.device)
        return {"x": take_rows(train.images, index), "y": take_rows(train.labels, index)}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return cross_entropy(logits_of(params, batch["x"], [None] * CONVOLUTIONS), batch["y"])

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Replica by replica, channels last: on a CPU that is faster than batched convolutions under `vmap`."""
        return for_each_replica(self._replica, params, batch)

    def compiled_loss_and_grad(self) -> Gradient:
        """Replica by replica as well: one program, made once, and of layers whose passes can be fused."""
        program = torch.compile(loss_and_grad_by_hand, dynamic=False)
        return lambda params, batch: for_each_replica(program, params, batch)

    def _replica(self, params: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors]:
        replica = {name: value.detach().requires_grad_() for name, value in params.items()}
        with torch.enable_grad():
            loss = self.loss(replica, {"x": x, "y": y})
            found = torch.autograd.grad(loss, list(replica.values()))
        return loss.detach(), dict(zip(replica, found, strict=True))

    @torch.no_grad()
    def evaluate(self, params: Tensors) -> Tensors:
        first = next(iter(params.values()))
        seeds, settings = first.shape[:2]
        train, test = self._split("train").to(first.device), self._split("test").to(first.device)
        every = max(1, len(train.labels) // STATISTICS_IMAGES)
        measures = first.new_empty(2, seeds, settings)
        for seed in range(seeds):
            for setting in range(settings):
                replica = {name: value[seed, setting] for name, value in params.items()}
                statistics = channel_statistics(replica, train.images[::every].to(first.dtype))
                logits = torch.cat(
                    [
                        logits_of(replica, x.to(first.dtype), statistics)
                        for x in torch.split(test.images, EVALUATION_BATCH)
                    ]
                )
                measures[0, seed, setting] = cross_entropy(logits, test.labels)
                measures[1, seed, setting] = (logits.argmax(1) == test.labels).to(first.dtype).mean()
        return {"loss": measures[0], "accuracy": measures[1]}

    def overlaps(self, other: Task, parameter: str) -> bool:
        if parameter != "labels" or not isinstance(other, CifarCnn):
            return super().overlaps(other, parameter)
        return bool({*label_range(self.labels)} & {*label_range(other.labels)})

    def require_data(self) -> None:
        if self.data == "cifar10":
            check_cifar10(data_dir())

    def sources(self) -> dict[str, Any]:
        if self.data == "photos10":
            return photos10_sources()
        return cifar10_sources()

    def _split(self, split: Literal["train", "test"]) -> Images:
        return labelled_images(self.data, split, self.labels, str(data_dir()))
