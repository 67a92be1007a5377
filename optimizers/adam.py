"""Adam."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from optimizers.base import CoordinatewiseOptimizer, State, blend, per_replica


class Adam(CoordinatewiseOptimizer):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², u = −lr · m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Source: Kingma & Ba 2015, algorithm 1; as `torch.optim.Adam`.
    """

    name: ClassVar[str] = "adam"

    lr: float = Field(default=1e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, ge=0)

    def init_tensor(self, param: Tensor) -> State:
        return {"mean": torch.zeros_like(param), "square": torch.zeros_like(param), "step": 0}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        beta1, beta2 = per_replica(self.beta1, grad), per_replica(self.beta2, grad)
        step = state["step"] + 1
        mean = blend(state["mean"], grad, 1 - beta1)
        square = blend(state["square"], grad * grad, 1 - beta2)
        # √v̂ + ε over a common factor, in one piece of memory: passes over memory are what this rule costs.
        correction = (1 - beta2**step) ** 0.5
        update = square.sqrt().add_(per_replica(self.epsilon, grad) * correction)
        rate = per_replica(self.lr, grad) * correction / (1 - beta1**step)
        return torch.div(mean, update, out=update).mul_(-rate), {"mean": mean, "square": square, "step": step}

    def flops_per_coordinate(self) -> float | None:
        return 11  # m and v are blended by 3 each; g²; √, + ε, m / ( ), · lr
