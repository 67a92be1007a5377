"""A network of depthwise convolutions, on handwritten digits."""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.digits import digits, digits_sources
from l2obench.tasks.practice.base import Classification


class Depthwise(Classification):
    """Patches of 4×4 pixels, then blocks that mix first within a channel and then across channels (ConvMixer).

    At 64 channels and three blocks: 20,106 parameters. Digits are MNIST's, 28×28 pixels.

    Source: Trockman and Kolter 2022, "Patches are all you need?", figure 3.
    """

    name: ClassVar[str] = "practice-depthwise"

    channels: int = Field(default=64, ge=1, le=1024)
    """Channels of all blocks."""
    blocks: int = Field(default=3, ge=1, le=32)
    """Blocks of a depthwise and a pointwise convolution."""
    batch: int = Field(default=32, ge=2, le=10_000)
    """Digits in a minibatch."""

    def make_model(self) -> nn.Module:
        c = self.channels
        patches = nn.Sequential(nn.Conv2d(1, c, 4, stride=4), nn.GELU(), nn.BatchNorm2d(c))
        blocks = (Mixer(c) for _ in range(self.blocks))
        return nn.Sequential(patches, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))

    def training_data(self) -> Any:
        train = digits("mnist5k", "train")
        return train.inputs.view(-1, 1, 28, 28), train.labels

    def heldout_data(self) -> Any:
        test = digits("mnist5k", "test")
        return test.inputs.view(-1, 1, 28, 28), test.labels

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **digits_sources("mnist5k")}


class Mixer(nn.Module):
    """A depthwise convolution with a connection around it, then a pointwise one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        within = nn.Conv2d(channels, channels, 5, groups=channels, padding=2)
        self.within = nn.Sequential(within, nn.GELU(), nn.BatchNorm2d(channels))
        self.across = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.across(x + self.within(x))
        return mixed
