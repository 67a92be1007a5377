"""A network that solves Burgers' equation: a physics-informed loss, with derivatives of the network in it."""

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear

from l2obench.tasks.practice.base import Practice

VISCOSITY = 0.1 / math.pi
POINTS, HELD_OUT = 20_000, 1_000
# Results depend on the points: the seed must never change.
SEED = 20161130
QUADRATURE = 100


Directions = Mapping[str, Literal["lower", "higher"]]


class Burgers(Practice):
    """The equation u_t + u u_x = ν u_xx on t in 0..1, x in −1..1, with u(0, x) = −sin πx and u(t, ±1) = 0; ν = .1/π.

    The loss is the mean square of what is left of the equation at points drawn from a fixed set, plus those of what is
    wrong at the start and at both borders. Held out are the loss at other points, and `error`, the distance from the
    exact solution divided by that solution's size. At four layers of 96 units: 28,321 parameters.

    Source: Raissi et al. 2019, "Physics-informed neural networks", section 3.1, with ten times its viscosity.
    """

    name: ClassVar[str] = "practice-burgers"
    metric_directions: ClassVar[Directions] = {
        **Practice.metric_directions,
        "error": "lower",
    }

    units: int = Field(default=96, ge=1, le=4096)
    """Width of the hidden layers."""
    layers: int = Field(default=4, ge=1, le=16)
    """Hidden layers."""
    batch: int = Field(default=128, ge=1, le=10_000)
    """Points in a minibatch."""

    def make_model(self) -> nn.Module:
        return Solution(self.units, self.layers)

    def training_data(self) -> Any:
        return points()[:POINTS]

    def heldout_data(self) -> Any:
        chosen = points()[POINTS:]
        return chosen, exact_solution(chosen)

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        t, x = batch.unbind(1)
        u = model(t, x)
        left = u.value * u.x + u.t - VISCOSITY * u.xx
        start = model(torch.zeros_like(t), x).value + (torch.pi * x).sin()
        borders = model(torch.cat([t, t]), torch.cat([torch.ones_like(x), -torch.ones_like(x)])).value
        loss: Tensor = left.square().mean() + start.square().mean() + borders.square().mean()
        return loss

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        places, exact = batch
        error = (model(*places.unbind(1)).value - exact).norm() / exact.norm()
        return {"loss": self.batch_loss(model, places), "error": error}


class Jet(NamedTuple):
    """A function of t and x with derivatives, `[n, width]` each."""

    value: Tensor
    t: Tensor
    x: Tensor
    xx: Tensor


class Solution(nn.Module):
    """u and its derivatives at times and places `[n]`, which each layer gives from those of its input.

    Args:
        units: width of the hidden layers.
        layers: hidden layers.
    """

    def __init__(self, units: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer(*widths) for widths in pairwise([2, *[units] * layers, 1]))

    def forward(self, t: Tensor, x: Tensor) -> Jet:
        places = torch.stack([t, x], 1)
        one, none = torch.ones_like(t), torch.zeros_like(t)
        jet = Jet(places, torch.stack([one, none], 1), torch.stack([none, one], 1), torch.zeros_like(places))
        for k, layer in enumerate(self.layers):
            jet = _linear(jet, layer) if k == 0 else _linear(_tanh(jet), layer)
        return Jet(*(part.squeeze(1) for part in jet))


def _layer(before: int, after: int) -> nn.Linear:
    layer = nn.Linear(before, after)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _linear(jet: Jet, layer: Any) -> Jet:
    value, *derivatives = jet
    return Jet(layer(value), *(linear(part, layer.weight) for part in derivatives))


def _tanh(jet: Jet) -> Jet:
    value = jet.value.tanh()
    slope = 1 - value.square()
    return Jet(value, slope * jet.t, slope * jet.x, slope * (jet.xx - 2 * value * jet.x.square()))


@lru_cache(maxsize=1)
def points() -> Tensor:
    """Times in 0..1 and places in −1..1, `[21,000, 2]`."""
    random = torch.rand(POINTS + HELD_OUT, 2, generator=torch.Generator().manual_seed(SEED))
    return random * torch.tensor([1.0, 2.0]) - torch.tensor([0.0, 1.0])


def exact_solution(places: Tensor) -> Tensor:
    """The solution `[n]` at times and places `[n, 2]`, by the transformation of Cole and Hopf.

    It is a quotient of two integrals over a normal distribution, which Gauss and Hermite's rule sums.

    Args:
        places: times and places.
    """
    nodes, weights = (torch.from_numpy(values) for values in np.polynomial.hermite.hermgauss(QUADRATURE))
    t, x = places.double().unsqueeze(-1).unbind(1)
    moved = x - 2 * (VISCOSITY * t).sqrt() * nodes
    density = weights * (-(torch.pi * moved).cos() / (2 * torch.pi * VISCOSITY)).exp()
    solution = -((torch.pi * moved).sin() * density).sum(1) / density.sum(1)
    return solution.float()
