"""Weightings of the trajectory: w_t in the meta-objective Σ_t w_t f(θ_t) (Andrychowicz et al. 2016, equation 3)."""

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, Weighting

GROWTH = 5.0  # the last weight of `exponential` is e⁵ ≈ 150 times the first


def step_weights(weighting: Weighting, horizon: int) -> Tensor:
    """w_1 … w_T, `[horizon]`, scaled to mean 1 so that the bound on the meta-gradient means the same for all.

    Numbers are points spread evenly over the trajectory, with straight lines between them.

    Raises:
        RecipeError: no step has a weight.
    """
    match weighting:
        case "uniform" | "learned":
            # learned ones begin so; `l2obench.bench.metatrain.loss_scales` has what becomes of them
            return torch.ones(horizon)
        case "linear":
            return torch.arange(1, horizon + 1) * (2.0 / (horizon + 1))
        case "exponential":
            return mean_one(torch.linspace(0, GROWTH, horizon).exp())
        case "final":
            return torch.nn.functional.one_hot(torch.tensor(horizon - 1), horizon).float() * horizon
        case points:
            weights = between(torch.tensor(points, dtype=torch.float32), horizon)
            if weights.sum() == 0:
                given = ",".join(f"{point:g}" for point in points)
                raise RecipeError(f"weighting={given} sums to zero over {horizon} steps; make one point above zero")
            return mean_one(weights)


def mean_one(weights: Tensor) -> Tensor:
    """Weights of the same proportions whose mean is 1."""
    return weights / weights.mean()


def between(points: Tensor, horizon: int) -> Tensor:
    """The values at t / T, t = 1 … T, of the line through the points, the first at 0 and the last at 1."""
    values = torch.cat([points, points[-1:]])
    place = torch.arange(1, horizon + 1, device=points.device) * ((len(points) - 1) / horizon)
    left = place.floor().long().clamp(max=len(points) - 1)
    return torch.lerp(values[left], values[left + 1], place - left)
