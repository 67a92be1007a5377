"""Signum: the sign of the momentum."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, blend, per_replica


class Signum(CoordinatewiseOptimizer):
    """m ← β m + (1 − β) g, u = −lr · sign(m). Source: Bernstein et al. 2018, algorithm 1."""

    name: ClassVar[str] = "signum"

    lr: float = Field(default=1e-3, gt=0)
    beta: float = Field(default=0.9, ge=0, lt=1)

    def init_tensor(self, param: Tensor) -> State:
        return {"momentum": torch.zeros_like(param)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        momentum = blend(state["momentum"], grad, 1 - per_replica(self.beta, grad))
        return -per_replica(self.lr, grad) * momentum.sign(), {"momentum": momentum}
