"""Weightings of the trajectory: w_t in the meta-objective Σ_t w_t f(θ_t) (Andrychowicz et al. 2016, equation 3)."""

import torch
from torch import Tensor

from bench.metatrain.recipe import Weighting


def step_weights(weighting: Weighting, horizon: int) -> Tensor:
    """w_1 … w_T, `[horizon]`, scaled to mean 1 so that the bound on the meta-gradient means the same for all."""
    match weighting:
        case "uniform":
            return torch.ones(horizon)
        case "linear":
            return torch.arange(1, horizon + 1) * (2.0 / (horizon + 1))
        case "final":
            return torch.nn.functional.one_hot(torch.tensor(horizon - 1), horizon).float() * horizon
