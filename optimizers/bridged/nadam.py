"""NAdam: Adam with Nesterov's momentum."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer


class NAdam(TorchOptimizer):
    """u = −lr · (μ_{t+1} m / (1 − Π_{i≤t+1} μ_i) + (1 − μ_t) g / (1 − Π_{i≤t} μ_i)) / (√v̂ + ε), m and v as in Adam.

    μ_t = β₁ (1 − ½ · 0.96^{t ψ}). Source: Dozat 2016; `torch.optim.NAdam`.
    """

    name: ClassVar[str] = "nadam"

    lr: float = Field(default=2e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, ge=0)
    momentum_decay: float = Field(default=4e-3, ge=0)
    """ψ."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.NAdam(
            params.values(),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            momentum_decay=self.momentum_decay,
        )
