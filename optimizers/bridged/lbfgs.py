"""L-BFGS, one gradient a step."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from l2obench.optimizers.base import Tensors, Use
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.search_space import Dimension, LogRange


class LBFGS(TorchOptimizer):
    """u = −lr · H g, H the inverse Hessian that BFGS makes of the last pairs s = θ_t − θ_{t−1}, y = g_t − g_{t−1}.

    The first step is −lr · min(1, 1 / ‖g‖₁) · g. A pair with yᵀs ≤ 1e-10 is left out.

    A rule has one gradient a step. A line search, or torch's default of 20 iterations a step, would take up to 25
    gradients on one minibatch. On functions without minibatches (`quadratic`) its pairs are exact. With minibatches y
    is a difference between two of them, whose noise goes into H.

    State: that of `TorchOptimizer`: the last `history` pairs s and y of each replica.

    Source: Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization"; as
    `torch.optim.LBFGS` with one iteration a step and no line search.
    """

    name: ClassVar[str] = "l-bfgs"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {"lr": LogRange(1e-3, 10.0)}
    uses: ClassVar[tuple[Use, ...]] = ("curvature",)

    lr: float = Field(default=1.0, gt=0)
    """Multiplies the step: 1, torch's default, goes to the minimum of the quadratic that H describes."""
    history: int = Field(default=100, ge=1)
    """How many pairs are kept. The default is torch's; each takes the memory of two gradients."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(params.values(), lr=self.lr, max_iter=1, history_size=self.history)

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        # With one iteration the closure is called once, for gradients that are in place, and its loss is not used.
        optimizer.step(lambda: 0.0)
