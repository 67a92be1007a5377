"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library


class SOAP(LibraryOptimizer):
    """For a matrix: Adam on Q_Lᵀ G Q_R, its update turned back, with Q of L ← β₂ L + (1 − β₂) G Gᵀ and R likewise.

    Q is renewed every `frequency` steps, by one power iteration and a QR decomposition; the first step moves nothing
    but L, R and Q. Vectors and scalars are Adam's unless `precondition_1d`: without it, on a task without matrices,
    this is Adam with β of 0.95. Source: Vyas et al. 2025, algorithm 3; `pytorch_optimizer.SOAP`.
    """

    name: ClassVar[str] = "soap"

    lr: float = Field(default=3e-3, gt=0)
    beta1: float = Field(default=0.95, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled. The library's own default is 0.01."""
    frequency: int = Field(default=10, ge=1)
    precondition_1d: bool = False
    """Give vectors an eigenbasis too."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        rule: torch.optim.Optimizer = library().SOAP(
            params.values(),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
            precondition_frequency=self.frequency,
            precondition_1d=self.precondition_1d,
        )
        return rule
