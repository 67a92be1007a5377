"""NAdam: Adam with Nesterov's momentum."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension


class NAdam(TorchOptimizer):
    """u = −lr · (μ_{t+1} m / (1 − Π_{i≤t+1} μ_i) + (1 − μ_t) g / (1 − Π_{i≤t} μ_i)) / (√v̂ + ε), m and v as in Adam.

    μ_t = β₁ (1 − ½ · 0.96^{t ψ}).

    State: that of `TorchOptimizer`: m and v of each parameter, and the product of the μ.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam"; as `torch.optim.NAdam`.
    """

    name: ClassVar[str] = "nadam"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        **SCHEDULES,
    }

    lr: float = Field(default=2e-3, gt=0)
    """Learning rate: about the size of an update of each coordinate. The defaults are torch's."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients for each step."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, ge=0)
    """Added to √v̂, in the unit of a gradient: against division by zero."""
    momentum_decay: float = Field(default=4e-3, ge=0)
    """ψ: how fast μ_t grows from β₁ / 2 to β₁."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.NAdam(
            params.values(),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            momentum_decay=self.momentum_decay,
        )
