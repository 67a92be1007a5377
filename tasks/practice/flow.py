"""A normalising flow of affine couplings, on handwritten digits of 8×8 pixels."""

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.scikit import scikit, scikit_sources
from l2obench.tasks.practice.base import Practice

SIDE, LEVELS = 8, 17
# The logit of 0 and of 1 is infinite: pixels are first squeezed into .05..0.95, as in the paper, section 4.1.
MARGIN = 0.05


class Flow(Practice):
    """The negative log-likelihood of 8×8 digits in bits a pixel, under a flow of affine couplings (Real NVP).

    A pixel has 17 grey values; each gets uniform noise of one level's width, new in each step. The expected loss is
    then no less than the bits of the same model of grey values, so it is positive. Six couplings change half of the
    pixels each, by a perceptron of the other half. At 128 units: 248,448 parameters. Every coupling starts as the
    identity.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", equations 7 to 9 and figure 3; Theis et al. 2016, "A
    note on the evaluation of generative models", section 3.1, for the noise.
    """

    name: ClassVar[str] = "practice-flow"

    units: int = Field(default=128, ge=1, le=4096)
    """Width of the two hidden layers of a coupling."""
    couplings: int = Field(default=6, ge=1, le=32)
    """Couplings, one after the other."""
    batch: int = Field(default=64, ge=1, le=10_000)
    """Digits in a minibatch."""

    def make_model(self) -> nn.Module:
        return RealNVP(self.units, self.couplings)

    def training_data(self) -> Any:
        return scikit("digits", "train").inputs

    def heldout_data(self) -> Any:
        return scikit("digits", "test").inputs

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        noisy = (batch + torch.rand_like(batch)) / LEVELS
        bits: Tensor = math.log2(LEVELS) - model(noisy).mean() / (SIDE**2 * math.log(2))
        return bits

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **scikit_sources("digits")}


class RealNVP(nn.Module):
    """Log densities in nats, `[n]`, of images `[n, 64]` with values in 0..1.

    Args:
        units: width of the hidden layers of a coupling.
        couplings: how many.
    """

    def __init__(self, units: int, couplings: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(units, k) for k in range(couplings))

    def forward(self, images: Tensor) -> Tensor:
        inner = MARGIN + (1 - 2 * MARGIN) * images
        values = inner.log() - (-inner).log1p()
        log_volume = math.log(1 - 2 * MARGIN) - inner.log() - (-inner).log1p()
        for coupling in self.couplings:
            values, log_scale = coupling(values)
            log_volume = log_volume + log_scale
        log_normal = -(values.square() + math.log(2 * math.pi)) / 2
        return (log_normal + log_volume).sum(1)


class Coupling(nn.Module):
    """Scale and shift one half of the values `[n, 64]` by functions of the other half.

    Args:
        units: width of the two hidden layers.
        index: its place in the flow. The first two change the black and the white squares of a chequerboard, the
            next two the even and the odd rows, and so on.
    """

    changed: Tensor

    def __init__(self, units: int, index: int) -> None:
        super().__init__()
        row, column = torch.arange(SIDE**2) // SIDE, torch.arange(SIDE**2) % SIDE
        pattern = row + column if index % 4 < 2 else row
        self.register_buffer("changed", ((pattern + index) % 2).float())
        self.layers = nn.Sequential(
            nn.Linear(SIDE**2, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, 2 * SIDE**2)
        )
        for value in self.layers[-1].parameters():
            nn.init.zeros_(value)
        self.reach = nn.Parameter(torch.ones(SIDE**2))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.layers(values * (1 - self.changed)).chunk(2, -1)
        log_scale = self.changed * self.reach * scale.tanh()
        return values * log_scale.exp() + self.changed * shift, log_scale
