"""Prodigy: Adam that estimates its own step size."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library
from l2obench.optimizers.search_space import SCHEDULES, Dimension, LogRange


class Prodigy(LibraryOptimizer):
    """Adam with lr = d_t, a growing estimate of the distance |θ₀ − θ*| from below.

        m ← β₁ m + (1 − β₁) d g;  v ← β₂ v + (1 − β₂) d² g²
        r ← √β₂ r + (1 − √β₂) d² ⟨g, θ₀ − θ⟩;  s ← √β₂ s + (1 − √β₂) d² g
        d ← max(d, d_coef · r / |s|₁);  u = −d m / (√v + d ε)

    In front of m, d is that of before the step. The learning rate is 1, as its authors say. Nothing is tuned, so the
    rule runs in the track `default` alone.

    State: that of `TorchOptimizer`: θ₀, m, v and s of each parameter, r and d of each replica.

    Source: Mishchenko & Defazio 2024, "Prodigy: an expeditiously adaptive parameter-free learner"; as
    `pytorch_optimizer.Prodigy`.
    """

    name: ClassVar[str] = "prodigy"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "d_coef": LogRange(0.1, 10.0),
        "weight_decay": LogRange(1e-4, 1.0),
        **SCHEDULES,
    }
    tunable: ClassVar[tuple[str, ...]] = ()

    d_coef: float = Field(default=1.0, gt=0)
    """Multiplies the estimate d. Its authors change this one hyperparameter alone, between 0.5 and 2."""
    d0: float = Field(default=1e-6, gt=0)
    """The first estimate, in the unit of θ: small enough to be below the distance. The paper's value."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients for each step."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled: each step takes the share d · weight_decay from θ."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        rule: torch.optim.Optimizer = library().Prodigy(
            params.values(),
            betas=(self.beta1, self.beta2),
            d0=self.d0,
            d_coef=self.d_coef,
            weight_decay=self.weight_decay,
        )
        return rule
