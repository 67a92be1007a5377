"""Deblurring: the picture itself is what is optimised, so its start says nothing about the size of useful steps."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.small.batched import BatchedTask

SMOOTH = 1e-3
"""Under the root of total variation, in the unit of the picture."""


class Deblurring(BatchedTask):
    """Find the picture whose blurred form is given: squared error plus total variation, without minibatches.

    f(θ) = mean (B θ − y)² + weight · mean √(Δₓ² + Δᵧ² + ε²), with B `passes` means over 3×3 places, y = B x + noise,
    and x a random picture of `patches` rectangles on a smooth ground. Parameter `picture [3, side, side]`.

    Source: Rudin, Osher & Fatemi 1992 (total variation), smoothed. The pictures are ours.
    """

    name: ClassVar[str] = "deblurring"

    horizon: int = Field(default=100, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions of a seed do not depend on it."""
    side: int = Field(default=16, ge=4, le=512)
    """Height and width."""
    patches: int = Field(default=6, ge=0, le=1000)
    """Rectangles of one colour in the true picture."""
    passes: int = Field(default=2, ge=1, le=32)
    """How often 3×3 places are averaged."""
    noise: float = Field(default=0.02, ge=0, le=10)
    """Standard deviation of the noise on the blurred picture, whose values are near 0..1."""
    weight: float = Field(default=1e-3, ge=0, le=10)
    """Of total variation."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """θ₀ ~ N(½, scale²)."""

    def sample(self, generator: torch.Generator) -> Problem:
        coarse = torch.rand(1, 3, 3, 3, generator=generator)
        size = (self.side, self.side)
        picture = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=True)[0]
        for _ in range(self.patches):
            ends = torch.randint(self.side, (2, 2), generator=generator).sort(1).values.tolist()
            (top, bottom), (left, right) = ends
            picture[:, top : bottom + 1, left : right + 1] = torch.rand(3, 1, 1, generator=generator)
        noise = self.noise * torch.randn(3, *size, generator=generator)
        start = 0.5 + self.scale * torch.randn(3, *size, generator=generator)
        return Problem({"picture": start}, {"blurred": self._blurred(picture.unsqueeze(0)).squeeze(0) + noise})

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        picture = params["picture"]
        blurred = self._blurred(picture.flatten(0, 1)).view_as(picture)
        error = (blurred - batch["blurred"].unsqueeze(1)).square().mean((2, 3, 4))
        across = picture[..., :-1, 1:] - picture[..., :-1, :-1]
        down = picture[..., 1:, :-1] - picture[..., :-1, :-1]
        variation = (across.square() + down.square() + SMOOTH**2).sqrt().mean((2, 3, 4))
        return error + self.weight * variation

    def _blurred(self, pictures: Tensor) -> Tensor:
        """Pictures `[n, 3, side, side]` with each place the mean of the nine around it, as often as `passes` says."""
        for _ in range(self.passes):
            pictures = avg_pool2d(pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return pictures
