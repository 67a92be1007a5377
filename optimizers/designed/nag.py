"""Nesterov's accelerated gradient."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, per_replica
from l2obench.optimizers.search_space import RATE, SCHEDULES, Decay, Dimension


class NAG(CoordinatewiseOptimizer):
    """b ← μ b + g, u = −lr · (g + μ b).

    State of a tensor: `velocity` b, of its shape.

    Source: Nesterov 1983 in the form of Sutskever et al. 2013; as `torch.optim.SGD(momentum=μ, nesterov=True)`.
    """

    name: ClassVar[str] = "nag"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {"lr": RATE, "momentum": Decay(0.5, 0.99), **SCHEDULES}

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate. A constant gradient is followed at lr / (1 − μ)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """μ, the decay of b for each step."""

    def init_tensor(self, param: Tensor) -> State:
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        momentum = per_replica(self.momentum, grad)
        velocity = momentum * state["velocity"] + grad
        return -per_replica(self.lr, grad) * (grad + momentum * velocity), {"velocity": velocity}

    def flops_per_coordinate(self) -> float | None:
        return 5  # μ b, + g; μ b, + g, lr · ( )
