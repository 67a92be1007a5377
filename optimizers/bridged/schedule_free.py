"""Schedule-free AdamW: averaged iterates in place of a learning-rate schedule."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library
from l2obench.optimizers.search_space import ADAPTIVE_RATE, Decay, Dimension, LogRange


class ScheduleFree(LibraryOptimizer):
    """z ← z − lr (g / (√v̂ + ε) + λ y), x ← (1 − c_t) x + c_t z, y = (1 − β₁) z + β₁ x, with v̂ as in Adam.

    g is the gradient at y, and c_t = 1/t: x is the mean of all z (in a warm-up, weighted by lr²). The parameters are y,
    and the updates are those of y. A user would evaluate and keep x. Losses, held-out metrics and pictures are
    therefore taken at x (`evaluation_point`), on the minibatch of the same step. That second pass is for the record,
    and its time does not count.

    State: that of `TorchOptimizer`: z and v of each parameter.

    Source: Defazio et al. 2024, "The road less scheduled"; as `pytorch_optimizer.ScheduleFreeAdamW`, which
    has another 1e-15 under the root.
    """

    name: ClassVar[str] = "schedule-free"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        "weight_decay": LogRange(1e-4, 1.0),
    }

    lr: float = Field(default=2.5e-3, gt=0)
    """Learning rate: about the size of an update of each coordinate of z. The defaults are the library's."""
    beta1: float = Field(default=0.9, gt=0, lt=1)
    """Weight of the mean x in y, in place of a momentum."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, ge=0)
    """Added to √v̂, in the unit of a gradient: against division by zero."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled, of y."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly; 0: none."""

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
