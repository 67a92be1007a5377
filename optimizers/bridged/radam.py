"""RAdam: Adam that waits until its second moments can be trusted."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension


class RAdam(TorchOptimizer):
    """u = −lr · r_t · m̂ / (√v̂ + ε), m̂ and v̂ as in Adam, r_t the rectification; u = −lr · m̂ while ρ_t ≤ 5.

    ρ_t = ρ − 2 t β₂ᵗ / (1 − β₂ᵗ) with ρ = 2 / (1 − β₂) − 1, r_t² = (ρ_t − 4)(ρ_t − 2) ρ / ((ρ − 4)(ρ − 2) ρ_t).

    State: that of `TorchOptimizer`: m and v of each parameter.

    Source: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond"; as
    `torch.optim.RAdam`.
    """

    name: ClassVar[str] = "radam"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        **SCHEDULES,
    }

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate: about the size of an update of each coordinate. The defaults are torch's."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients for each step."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, ge=0)
    """Added to √v̂, in the unit of a gradient: against division by zero."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.RAdam(params.values(), lr=self.lr, betas=(self.beta1, self.beta2), eps=self.epsilon)
