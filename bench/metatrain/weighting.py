"""Weights of the steps of a trajectory: w_t in the meta-objective Σ_t w_t f(θ_t).

Source: Andrychowicz et al. 2016, equation 3.
"""

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, Weighting

# The last weight of `exponential` is e⁵ ≈ 150 times the first.
GROWTH = 5.0


def step_weights(weighting: Weighting, horizon: int) -> Tensor:
    """The weights w_1 … w_T, `[horizon]`, with mean 1.

    Args:
        weighting: a name, or numbers: points spread evenly over the trajectory, joined by straight lines.
        horizon: T.

    Raises:
        RecipeError: no step has a weight above zero.

    Example:
        >>> step_weights("linear", 3)
        tensor([0.5000, 1.0000, 1.5000])
    """
    # With mean 1, the bound on the norm of the meta-gradient means the same for all weightings.
    match weighting:
        case "uniform" | "learned":
            # Learned weights begin uniform; `l2obench.bench.metatrain.loss_scales` updates them.
            return torch.ones(horizon)
        case "linear":
            return torch.arange(1, horizon + 1) * (2.0 / (horizon + 1))
        case "exponential":
            return normalize_mean(torch.linspace(0, GROWTH, horizon).exp())
        case "final":
            return torch.nn.functional.one_hot(torch.tensor(horizon - 1), horizon).float() * horizon
        case points:
            weights = interpolate(torch.tensor(points, dtype=torch.float32), horizon)
            if weights.sum() == 0:
                given = ",".join(f"{point:g}" for point in points)
                raise RecipeError(f"weighting must be above zero at one of the {horizon} steps, got {given}")
            return normalize_mean(weights)


def normalize_mean(weights: Tensor) -> Tensor:
    """Scale weights to mean 1.

    Args:
        weights: `[steps]`, not negative, not all 0.
    """
    return weights / weights.mean()


def interpolate(points: Tensor, horizon: int) -> Tensor:
    """Evaluate the piecewise linear curve through evenly spaced points.

    Args:
        points: heights `[points]`; the first stands at 0, the last at the end of the trajectory.
        horizon: T.

    Returns:
        Heights at t / T for t = 1 … T, `[T]`.

    Example:
        >>> interpolate(torch.tensor([0.0, 1.0]), 4)
        tensor([0.2500, 0.5000, 0.7500, 1.0000])
    """
    values = torch.cat([points, points[-1:]])
    place = torch.arange(1, horizon + 1, device=points.device) * ((len(points) - 1) / horizon)
    left = place.floor().long().clamp(max=len(points) - 1)
    return torch.lerp(values[left], values[left + 1], place - left)
