"""Adam."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from optimizers.base import CoordinatewiseOptimizer, State, per_replica


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
        mean = beta1 * state["mean"] + (1 - beta1) * grad
        square = beta2 * state["square"] + (1 - beta2) * grad * grad
        denominator = square.sqrt() / (1 - beta2**step) ** 0.5 + per_replica(self.epsilon, grad)
        update = -per_replica(self.lr, grad) / (1 - beta1**step) * mean / denominator
        return update, {"mean": mean, "square": square, "step": step}
