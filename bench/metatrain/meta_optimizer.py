"""Steps of descent on what is meta-trained: the rate, the bound, Adam, and the average of where it has been."""

import math

import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.adam import Adam


def decayed(lr: float, final: float, done: int, total: int) -> float:
    """Cosine decay from `lr` to `lr · final` over `total` trajectories, with `done` of them behind."""
    decay = 0.5 * (1 + math.cos(math.pi * done / total))
    return lr * (final + (1 - final) * decay)


def clipped(grads: Tensors, norm: Tensor, bound: float) -> Tensors:
    """Gradients of that norm, all made smaller by one factor where it is above the bound."""
    factor = (bound / norm).clamp(max=1.0)
    return {name: grad * factor for name, grad in grads.items()}


def adam(
    phi: Tensors, grads: Tensors, mean: Tensors, square: Tensors, step: int, lr: float
) -> tuple[Tensors, Tensors, Tensors]:
    """One step of Adam (Kingma & Ba 2015) on the meta-parameters, by our own rule."""
    state: State = {name: {"mean": mean[name], "square": square[name], "step": step - 1} for name in phi}
    updates, state = Adam(lr=lr).update(grads, state, phi)
    return (
        {name: phi[name] + updates[name] for name in phi},
        {name: state[name]["mean"] for name in phi},
        {name: state[name]["square"] for name in phi},
    )


def averaged(average: Tensors, phi: Tensors, decay: float, step: int) -> Tensors:
    """The moving average after one more φ. Early on its memory is short, so that the start is soon forgotten."""
    weight = 1 - min(decay, step / (step + 10))
    return {name: torch.lerp(average[name], phi[name], weight) for name in phi}
