"""Adafactor: second moments as an outer product of rows and columns."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer


class Adafactor(TorchOptimizer):
    """u = −α_t · x / max(1, RMS(x)), x = g / √v, α_t = min(lr, 1/√t) · max(1e-3, RMS(θ)).

    v ← (1 − t^c) v + t^c g² with c = −0.8. Of a matrix, row means r and column means k alone are kept, and v is r kᵀ /
    mean(r).

    State: that of `TorchOptimizer`: of each matrix r and k, of each vector v.

    Source: Shazeer & Stern 2018, "Adafactor: adaptive learning rates with sublinear memory cost"; as
    `torch.optim.Adafactor`.
    """

    name: ClassVar[str] = "adafactor"

    lr: float = Field(default=1e-2, gt=0)
    """The largest step, relative to RMS(θ): beyond 1 it changes nothing. The defaults are torch's."""
    beta2_decay: float = Field(default=-0.8, le=0)
    """c: v forgets the share t^c at step t. At −0.8 its memory grows with the run."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(params.values(), lr=self.lr, beta2_decay=self.beta2_decay)
