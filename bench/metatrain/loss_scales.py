"""Learned weights along the trajectory: each step's loss has a scale s, learned with φ, and counts by its inverse.

    J(φ, s) = Σ_t f(θ_t) / s_t + log s_t,    w_t = 1 / s_t

Source: Kendall et al. 2018, *Multi-task learning using uncertainty to weigh losses*, equation 10 with log σ² = log s,
the steps of a trajectory in the place of tasks. The logarithm keeps weights from vanishing where losses are large:
∂J/∂s_t = 0 at s_t = E f(θ_t). Without it all weight would go to the step with the least loss.

Ours: log s is piecewise linear between points spread evenly over the trajectory, so that it serves trajectories of any
length; Adam moves it once a trajectory, by a rate of its own, since φ's decays.
"""

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.metatrain.meta_optimizer import adam
from l2obench.bench.metatrain.weighting import between, mean_one
from l2obench.tasks.base import Tensors

POINTS = 11
LR = 0.1
SHAPES: dict[str, tuple[int, ...]] = {"log_scale": (POINTS,), "mean": (POINTS,), "square": (POINTS,)}
"""What a training keeps of them: log s at the points, and Adam's two averages."""


def equal(device: str) -> Tensors:
    """Where they begin: every step counts alike."""
    return {name: torch.zeros(shape, device=device) for name, shape in SHAPES.items()}


def inverse(scales: Tensors, horizon: int) -> Tensor:
    """w_1 … w_T, `[horizon]`, of mean 1 as all weights are."""
    return mean_one((-between(scales["log_scale"], horizon)).exp())


def at_points(scales: Tensors) -> list[float]:
    """The weights at the points, from the start of a trajectory to its end, of mean 1."""
    weights: list[float] = mean_one((-scales["log_scale"]).exp()).tolist()
    return weights


def moved(scales: Tensors, losses: Tensor, trajectory: int) -> Tensors:
    """The scales after a trajectory: one step of Adam on the mean over its steps of J.

    A step whose mean loss is not finite, because a function diverged, is taken for one that its scale fits.

    Args:
        scales: as they are.
        losses: mean over functions of f(θ_t), `[horizon]`.
        trajectory: how many there were before.

    Raises:
        RecipeError: a loss is not positive, so that no scale is the best.
    """
    if (least := float(losses.min())) <= 0:
        raise RecipeError(f"weighting=learned needs mean losses above zero, and this task has {least:.3g}; use another")
    with torch.enable_grad():
        at = scales["log_scale"].detach().requires_grad_()
        log_scale = between(at, len(losses))
        losses = torch.where(losses.isfinite(), losses, log_scale.detach().exp())
        (grad,) = torch.autograd.grad((losses * (-log_scale).exp() + log_scale).mean(), at)
    before = ({"s": scales["log_scale"]}, {"s": grad}, {"s": scales["mean"]}, {"s": scales["square"]})
    log_scales, mean, square = adam(*before, trajectory + 1, LR)
    return {"log_scale": log_scales["s"], "mean": mean["s"], "square": square["s"]}
