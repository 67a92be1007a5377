"""A U-Net that finds the noise in an image, as diffusion models do."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from l2obench.tasks.data.photos10 import photos10_sources
from l2obench.tasks.practice.base import Practice
from l2obench.tasks.practice.photographs import crops

GROUPS = 4
FREQUENCIES = 8


class Denoiser(Practice):
    """Squared error of the noise that was added to crops of photographs, each at a level of its own.

    A crop becomes cos(a) crop + sin(a) noise, a uniform in 0..π/2. Pixels are folded two by two, then there are two
    levels with a connection across. At 24 channels: 66,108 parameters.

    Source: Ho et al. 2020, "Denoising diffusion probabilistic models", equation 14; the schedule of Salimans and Ho
    2022, "Progressive distillation"; Ronneberger et al. 2015, "U-Net".
    """

    name: ClassVar[str] = "practice-denoiser"

    channels: int = Field(default=24, ge=GROUPS, le=512, multiple_of=GROUPS)
    """Channels of the upper level; the lower has twice as many."""
    batch: int = Field(default=16, ge=1, le=10_000)
    """Crops in a minibatch."""

    def make_model(self) -> nn.Module:
        return UNet(self.channels)

    def training_data(self) -> Any:
        return crops("train")[0]

    def heldout_data(self) -> Any:
        return crops("test")[0]

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        noise, angle = torch.randn_like(batch), torch.rand(len(batch), dtype=batch.dtype, device=batch.device)
        angle = torch.pi / 2 * angle.view(-1, 1, 1, 1)
        return mse_loss(model(angle.cos() * batch + angle.sin() * noise, angle), noise)

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **photos10_sources()}


class UNet(nn.Module):
    """The noise in images `[n, 3, 32, 32]` at angles `[n, 1, 1, 1]`.

    Args:
        channels: of the upper level.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.fold = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(12 + 2 * FREQUENCIES, c, 3, padding=1)
        self.down = nn.Sequential(_block(c, c), nn.Conv2d(c, 2 * c, 3, stride=2, padding=1))
        self.below = _block(2 * c, 2 * c)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * c, c, 3, padding=1))
        self.last = nn.Sequential(_block(2 * c, c), nn.Conv2d(c, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, images: Tensor, angle: Tensor) -> Tensor:
        folded = self.fold(images)
        waves = angle * torch.arange(1, FREQUENCIES + 1, dtype=angle.dtype, device=angle.device).view(-1, 1, 1)
        level = torch.cat([waves.sin(), waves.cos()], 1).expand(-1, -1, *folded.shape[2:])
        first = self.stem(torch.cat([folded, level], 1))
        below = self.below(self.down(first))
        noise: Tensor = self.last(torch.cat([first, self.up(below)], 1))
        return noise


def _block(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.GroupNorm(GROUPS, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
