"""Heavy-ball momentum."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, per_replica
from l2obench.optimizers.search_space import RATE, SCHEDULES, Decay, Dimension


class Momentum(CoordinatewiseOptimizer):
    """b ← μ b + g, u = −lr · b.

    State of a tensor: `velocity` b, of its shape.

    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; as
    `torch.optim.SGD(momentum=μ)`.
    """

    name: ClassVar[str] = "momentum"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {"lr": RATE, "momentum": Decay(0.5, 0.99), **SCHEDULES}

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate. A constant gradient is followed at lr / (1 − μ)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """μ, the decay of b for each step."""

    def init_tensor(self, param: Tensor) -> State:
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        velocity = per_replica(self.momentum, grad) * state["velocity"] + grad
        return -per_replica(self.lr, grad) * velocity, {"velocity": velocity}

    def flops_per_coordinate(self) -> float | None:
        return 3  # μ b, + g, lr · b
