"""Muon: momentum, orthogonalised, for matrices; AdamW for everything else."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension, LogRange


class Muon(LibraryOptimizer):
    """For a matrix `[a, b]`: u = −lr · (0.2 √max(a, b) · O + λ θ), O ≈ U Vᵀ of the Nesterov momentum U S Vᵀ.

    O comes from five Newton–Schulz iterations in bfloat16. A tensor of more dimensions (convolutions) is a matrix of
    its first dimension against all others. Vectors and scalars follow AdamW (β of 0.9 and 0.95), as the author says. He
    leaves embeddings and the last layer to AdamW as well. A tensor's shape does not tell them: here they are matrices.
    On a task without matrices, such as `quadratic`, this rule is AdamW.

    State: that of `TorchOptimizer`: the momentum of each matrix, AdamW's moments of everything else.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon). The factor 0.2 √max(a, b), by which one learning
    rate serves both parts: Liu et al. 2025, "Muon is scalable for LLM training". As `pytorch_optimizer.Muon`.
    """

    name: ClassVar[str] = "muon"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "momentum": Decay(0.5, 0.98),
        "vector_rate": LogRange(0.1, 100.0),
        "weight_decay": LogRange(1e-4, 1.0),
        **SCHEDULES,
    }

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of both parts: an update of a matrix has a root mean square of about 0.2 lr. The default is Adam's;
    the library's 0.02 is for matrices without the factor."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the momentum for each step; its author's value."""
    vector_rate: float = Field(default=1.0, gt=0)
    """Learning rate of all that is no matrix, in multiples of `lr`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ of both parts, decoupled: each step takes the share lr · λ from θ."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        matrices = [param for param in params.values() if param.ndim >= 2]
        others = [param for param in params.values() if param.ndim < 2]
        groups = [{"params": matrices, "use_muon": True}, {"params": others, "use_muon": False}]
        rule: torch.optim.Optimizer = library().Muon(
            [group for group in groups if group["params"]],
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            use_adjusted_lr=True,
            adamw_lr=self.lr * self.vector_rate,
            adamw_wd=self.weight_decay,
        )
        return rule
