"""Prodigy: Adam that estimates its own step size."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library


class Prodigy(LibraryOptimizer):
    """Adam with lr = d_t, a growing estimate of the distance |θ₀ − θ*| from below.

    m ← β₁ m + (1 − β₁) d g, v ← β₂ v + (1 − β₂) d² g², r ← √β₂ r + (1 − √β₂) d² ⟨g, θ₀ − θ⟩,
    s ← √β₂ s + (1 − √β₂) d² g, d ← max(d, d_coef · r / |s|₁), u = −d m / (√v + d ε) with d as it was before the step
    in front of m. The learning rate is 1, as its authors say: nothing is tuned, and it runs in `default` alone.

    Source: Mishchenko & Defazio 2024, algorithm 4; `pytorch_optimizer.Prodigy`.
    """

    name: ClassVar[str] = "prodigy"
    tunable: ClassVar[tuple[str, ...]] = ()

    d_coef: float = Field(default=1.0, gt=0)
    """The one knob that its authors would turn, between 0.5 and 2."""
    d0: float = Field(default=1e-6, gt=0)
    """The first estimate: small enough to be below the distance."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        rule: torch.optim.Optimizer = library().Prodigy(
            params.values(),
            betas=(self.beta1, self.beta2),
            d0=self.d0,
            d_coef=self.d_coef,
            weight_decay=self.weight_decay,
        )
        return rule
