"""A residual network with batch norm, on crops of photographs."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from l2obench.tasks.practice.photographs import CLASSES, PhotographClassification


class ResNet(PhotographClassification):
    """A convolution of stride 2, three stages of one residual block each, the mean over pixels, a linear layer.

    Each stage halves the image and doubles the channels. At 16 channels: 77,850 parameters.

    Source: He et al. 2016, "Deep residual learning for image recognition", section 3.
    """

    name: ClassVar[str] = "practice-resnet"

    channels: int = Field(default=16, ge=1, le=256)
    """Channels of the first stage."""
    batch: int = Field(default=32, ge=2, le=10_000)
    """Crops in a minibatch."""

    def make_model(self) -> nn.Module:
        c = self.channels
        return nn.Sequential(
            nn.Conv2d(3, c, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(),
            Block(c, c, 1), Block(c, 2 * c, 2), Block(2 * c, 4 * c, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * c, CLASSES),
        )  # fmt: skip


class Block(nn.Module):
    """Two convolutions with batch norm, and a connection around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        same = before == after and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.around(x) + self.inner(x))
