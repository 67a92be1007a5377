"""RMSprop."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, blend, per_replica
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension


class RMSprop(CoordinatewiseOptimizer):
    """v ← α v + (1 − α) g², u = −lr · g / (√v + ε).

    State of a tensor: `square` v, of its shape.

    Source: Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5; as `torch.optim.RMSprop`.
    """

    name: ClassVar[str] = "rmsprop"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "alpha": Decay(0.9, 0.999),
        **SCHEDULES,
    }

    lr: float = Field(default=1e-2, gt=0)
    """Learning rate: about the size of an update of each coordinate. The defaults are torch's."""
    alpha: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, ge=0)
    """Added to √v, in the unit of a gradient: against division by zero."""

    def init_tensor(self, param: Tensor) -> State:
        return {"square": torch.zeros_like(param)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        alpha = per_replica(self.alpha, grad)
        square = blend(state["square"], grad * grad, 1 - alpha)
        denominator = square.sqrt() + per_replica(self.epsilon, grad)
        return grad / denominator * -per_replica(self.lr, grad), {"square": square}

    def flops_per_coordinate(self) -> float | None:
        return 8  # g²; v + (1 − α)(g² − v); √, + ε, g / ( ), · lr
