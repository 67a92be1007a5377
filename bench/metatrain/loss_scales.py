"""Learned weights along the trajectory: each step's loss has a scale s, learned with φ, and counts by its inverse.

    J(φ, s) = Σ_t f(θ_t) / s_t + log s_t,    w_t = 1 / s_t

Source: Kendall et al. 2018, *Multi-task learning using uncertainty to weigh losses*, equation 10 with log σ² = log s,
the steps of a trajectory in the place of tasks. The logarithm keeps weights from vanishing where losses are large:
∂J/∂s_t = 0 at s_t = E f(θ_t). Without it all weight would go to the step with the least loss.

Ours: log s is piecewise linear between points spread evenly over the trajectory, so that it serves trajectories of any
length. Adam updates it once a trajectory.
"""

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.metatrain.meta_optimizer import adam_step
from l2obench.bench.metatrain.weighting import interpolate, normalize_mean
from l2obench.tasks.base import Tensors

# One for each tenth of the trajectory, and its start: few enough that one trajectory's losses move each of them.
POINTS = 11
# A rate of their own, since that of φ decays.
LR = 0.1
SHAPES: dict[str, tuple[int, ...]] = {"log_scale": (POINTS,), "mean": (POINTS,), "square": (POINTS,)}
"""The state of the scales in a training: log s at the points, and Adam's two averages of its gradient."""


def initial_scales(device: str) -> Tensors:
    """The scales at the start of a training: all steps have the same weight.

    Args:
        device: the torch device.
    """
    return {name: torch.zeros(shape, device=device) for name, shape in SHAPES.items()}


def weights_of_scales(scales: Tensors, horizon: int) -> Tensor:
    """The weights w_1 … w_T, normalized to mean 1 as all weights are.

    Args:
        scales: the state of the scales.
        horizon: T.

    Returns:
        `[horizon]`.
    """
    return normalize_mean((-interpolate(scales["log_scale"], horizon)).exp())


def weights_at_points(scales: Tensors) -> list[float]:
    """The weights at the points, from the start of a trajectory to its end, of mean 1.

    Args:
        scales: the state of the scales.

    Example:
        >>> weights_at_points(initial_scales("cpu"))[:3]
        [1.0, 1.0, 1.0]
    """
    weights: list[float] = normalize_mean((-scales["log_scale"]).exp()).tolist()
    return weights


def update_scales(scales: Tensors, losses: Tensor, trajectory: int) -> Tensors:
    """The scales after a trajectory: one step of Adam on the mean over its steps of J.

    Args:
        scales: before the trajectory.
        losses: mean over functions of f(θ_t), `[horizon]`.
        trajectory: number of trajectories before it.

    Raises:
        RecipeError: a loss is not positive, so that no scale is the best.
    """
    if (least := float(losses.min())) <= 0:
        raise RecipeError(
            f"weighting=learned needs mean losses above zero, got {least:.3g} on this task. Try: another weighting"
        )
    with torch.enable_grad():
        at = scales["log_scale"].detach().requires_grad_()
        log_scale = interpolate(at, len(losses))
        # A mean loss is not finite where a function diverged. The scale of that step then stays: its gradient is 0.
        losses = torch.where(losses.isfinite(), losses, log_scale.detach().exp())
        (grad,) = torch.autograd.grad((losses * (-log_scale).exp() + log_scale).mean(), at)
    before = ({"s": scales["log_scale"]}, {"s": grad}, {"s": scales["mean"]}, {"s": scales["square"]})
    log_scales, mean, square = adam_step(*before, trajectory + 1, LR)
    return {"log_scale": log_scales["s"], "mean": mean["s"], "square": square["s"]}
