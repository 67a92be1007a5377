"""Lion: the sign of a momentum."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension, LogRange


class Lion(LibraryOptimizer):
    """u = −lr · (sign(β₁ m + (1 − β₁) g) + λ θ), then m ← β₂ m + (1 − β₂) g.

    State: that of `TorchOptimizer`: m of each parameter.

    Source: Chen et al. 2023, "Symbolic discovery of optimization algorithms"; as `pytorch_optimizer.Lion`.
    """

    name: ClassVar[str] = "lion"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        "weight_decay": LogRange(1e-4, 1.0),
        **SCHEDULES,
    }

    lr: float = Field(default=1e-4, gt=0)
    """Learning rate: the size of every coordinate's update. The default is the library's, a tenth of Adam's."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Weight of m in the update; the paper's value."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of m for each step; the paper's value."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled: each step takes the share lr · λ from θ."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        betas = (self.beta1, self.beta2)
        rule: torch.optim.Optimizer = library().Lion(
            params.values(), lr=self.lr, betas=betas, weight_decay=self.weight_decay
        )
        return rule
