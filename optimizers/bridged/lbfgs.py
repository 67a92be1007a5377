"""L-BFGS, one gradient a step."""

from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer


class LBFGS(TorchOptimizer):
    """u = −lr · H g, H the inverse Hessian that BFGS makes of the last pairs s = θ_t − θ_{t−1}, y = g_t − g_{t−1}.

    The first step is −lr · min(1, 1 / ‖g‖₁) · g, and a pair with yᵀs ≤ 1e-10 is left out. Source: Liu & Nocedal 1989;
    `torch.optim.LBFGS` with one iteration a step and no line search.

    A rule is given one gradient a step, so this is what L-BFGS can do at the price that every rule here pays, and no
    more: a line search, or torch's default of 20 iterations a step, would ask for up to 25 gradients on one minibatch.
    On functions without minibatches (`quadratic`) its pairs are exact. With minibatches y is a difference between two
    of them, whose noise goes into H.
    """

    name: ClassVar[str] = "l-bfgs"

    lr: float = Field(default=1.0, gt=0)
    history: int = Field(default=100, ge=1)
    """How many pairs are kept."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(params.values(), lr=self.lr, max_iter=1, history_size=self.history)

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        # With one iteration the closure is called once, for gradients that are in place, and its loss is not used.
        optimizer.step(lambda: 0.0)
