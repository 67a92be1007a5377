"""A network of sines that is a photograph: colours from coordinates."""

from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from l2obench.tasks.data.photographs import image_source, read_image
from l2obench.tasks.practice.base import Practice

SIDE = 128
HELD_OUT = 1 / 8
# Results depend on the split: the seed must never change.
SEED = 20161130
OMEGA = 30.0


class Coordinates(Practice):
    """Squared error of the colours of a photograph of 128×128 pixels, from their places; an eighth is held out.

    Colours and places are in −1..1. Hidden layers have sines of 30 times their input (SIREN). At four layers of 128
    units: 50,307 parameters.

    Source: Sitzmann et al. 2020, "Implicit neural representations with periodic activation functions", section 3.2.
    """

    name: ClassVar[str] = "practice-coordinates"

    photograph: str = "astronaut"
    """A bundled photograph, as in `neural-art`, or the path of an image."""
    units: int = Field(default=128, ge=1, le=4096)
    """Width of the hidden layers."""
    layers: int = Field(default=4, ge=1, le=16)
    """Hidden layers."""
    batch: int = Field(default=512, ge=1, le=100_000)
    """Pixels in a minibatch."""

    def make_model(self) -> nn.Module:
        widths = [2, *[self.units] * self.layers]
        hidden = [Sines(before, after, first=k == 0) for k, (before, after) in enumerate(pairwise(widths))]
        last = nn.Linear(self.units, 3)
        _uniform(last, (6 / self.units) ** 0.5 / OMEGA)
        return nn.Sequential(*hidden, last)

    def training_data(self) -> Any:
        return pixels(self.photograph)[0]

    def heldout_data(self) -> Any:
        return pixels(self.photograph)[1]

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        places, colours = batch
        return mse_loss(model(places), colours)

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), f"photograph {self.photograph}": image_source(self.photograph)}


class Sines(nn.Module):
    """A linear layer and sines of its outputs, initialised so that all layers' outputs are distributed alike.

    Args:
        before: width of its input.
        after: width of its output.
        first: whether its input are coordinates.
    """

    def __init__(self, before: int, after: int, first: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        _uniform(self.linear, 1 / before if first else (6 / before) ** 0.5 / OMEGA)

    def forward(self, x: Tensor) -> Tensor:
        waves: Tensor = (OMEGA * self.linear(x)).sin()
        return waves


def _uniform(layer: nn.Linear, bound: float) -> None:
    nn.init.uniform_(layer.weight, -bound, bound)


@lru_cache(maxsize=4)
def pixels(photograph: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Places `[n, 2]` and colours `[n, 3]` of a photograph: those to train on, and those held out.

    Args:
        photograph: its name, or the path of an image.
    """
    image = read_image(photograph).float()
    side = min(image.shape[1:])
    square = image[:, :side, :side].unsqueeze(0)
    small = interpolate(square, size=(SIDE, SIDE), mode="bilinear", antialias=True)[0].clamp(0, 255)
    colours = small.flatten(1).mT / 127.5 - 1
    line = torch.linspace(-1, 1, SIDE)
    places = torch.cartesian_prod(line, line)
    order = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(SEED))
    test, train = order[: int(HELD_OUT * SIDE**2)], order[int(HELD_OUT * SIDE**2) :]
    return (places[train], colours[train]), (places[test], colours[test])
