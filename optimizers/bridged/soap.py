"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.pytorch_optimizer import LibraryOptimizer, library
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension, LogRange


class SOAP(LibraryOptimizer):
    """For a matrix: Adam on Q_Lᵀ G Q_R, its update turned back, with Q of L ← β₂ L + (1 − β₂) G Gᵀ and R likewise.

    Q is renewed every `frequency` steps, by one power iteration and a QR decomposition. The first step changes L, R and
    Q alone, and no parameter. Vectors and scalars follow Adam unless `precondition_1d`. Without it, on a task without
    matrices, this rule is Adam with β of 0.95.

    State: that of `TorchOptimizer`: Adam's moments of each parameter; of each matrix L, R, Q_L and Q_R.

    Source: Vyas et al. 2025, "SOAP: improving and stabilizing Shampoo using Adam", algorithm 3; as
    `pytorch_optimizer.SOAP`.
    """

    name: ClassVar[str] = "soap"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        "weight_decay": LogRange(1e-4, 1.0),
        **SCHEDULES,
    }

    lr: float = Field(default=3e-3, gt=0)
    """Learning rate: about the size of an update of each rotated coordinate. The default is the paper's."""
    beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of gradients for each step. The paper's value."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of squared gradients, and of L and R, for each step. The paper's value."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled: each step takes the share lr · weight_decay from θ. The library's own default is 0.01."""
    frequency: int = Field(default=10, ge=1)
    """Steps from one renewal of Q to the next. The paper's value; 1 costs a QR decomposition each step."""
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
