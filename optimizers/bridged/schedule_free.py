"""Schedule-free AdamW: averaged iterates in place of a learning-rate schedule."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library


class ScheduleFree(LibraryOptimizer):
    """z ← z − lr (g / (√v̂ + ε) + λ y), x ← (1 − c_t) x + c_t z, y = (1 − β₁) z + β₁ x, with v̂ as in Adam.

    g is the gradient at y, and c_t = 1/t: x is the mean of all z (in a warm-up, weighted by lr²). y is where the rule
    stands, and its updates are those of y. x is what a user would evaluate and keep: losses, held-out metrics and
    pictures are taken there (`evaluation_point`), on the minibatch of the same step. That second pass is the record's,
    and is not charged.

    Source: Defazio et al. 2024, "The road less scheduled", algorithm 1; `pytorch_optimizer.ScheduleFreeAdamW`, which
    has another 1e-15 under the root.
    """

    name: ClassVar[str] = "schedule-free"

    lr: float = Field(default=2.5e-3, gt=0)
    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    """λ."""
    warmup_steps: int = Field(default=0, ge=0)

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        rule: torch.optim.Optimizer = library().ScheduleFreeAdamW(
            params.values(),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
        )
        return rule
