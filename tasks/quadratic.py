"""Random quadratics, f(θ) = ‖Wθ − y‖²: the paper's synthetic family (section 3.1)."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors

# Coordinates up to which a compiled program is faster with sums, which it fuses, than with products.
SMALL = 32


class Quadratic(Task):
    """Minimise ‖Wθ − y‖², summed over `dim` rows, with W and y drawn anew for every function.

    Parameter `theta [dim]`; data `w [dim, dim]`, `y [dim]`. There are no minibatches and no held-out loss.

    Example:
        >>> task = Quadratic(dim=2)
        >>> batch = {"w": torch.eye(2).expand(1, 2, 2), "y": torch.zeros(1, 2)}
        >>> losses, grads = task.loss_and_grad({"theta": torch.tensor([[[3.0, -4.0]]])}, batch)
        >>> losses, grads["theta"]
        (tensor([[25.]]), tensor([[[ 6., -8.]]]))

    Source: Andrychowicz et al. 2016, section 3.1: IID Gaussian W and y, 10 dimensions. DeepMind's release draws them
    uniformly from [0, 1) instead, which gives another problem: hence the parameter `distribution`.
    """

    name: ClassVar[str] = "quadratic"
    # Float32 losses at the minimum of 300 functions: median 5e-13, 75 % below 2e-12, 95 % below 4e-11.
    floor: ClassVar[float] = 1e-11

    dim: int = Field(default=10, ge=1, le=4096)
    """Number of coordinates of θ. The default is the paper's."""
    distribution: Literal["gaussian", "uniform"] = "gaussian"
    """W and y are N(0, 1), or uniform on [0, 1)."""
    scale: float = Field(default=1.0, ge=0, le=1e6)
    """θ₀ ~ N(0, scale²). The default is ours."""
    condition: float | None = Field(default=None, ge=1, le=1e6)
    """Condition number of W: its singular values are replaced by ones spaced evenly in the logarithm from 1 down to
    1 / condition, times the root of `dim`. None: as drawn."""

    def sample(self, generator: torch.Generator) -> Problem:
        random = torch.randn if self.distribution == "gaussian" else torch.rand
        w = random(self.dim, self.dim, generator=generator)
        y = random(self.dim, generator=generator)
        theta = self.scale * torch.randn(self.dim, generator=generator)
        if self.condition is not None:
            u, _, vh = torch.linalg.svd(w)
            w = u * (self.dim**0.5 * torch.logspace(0, -1, self.dim, base=self.condition)) @ vh
        data = {"w": w, "y": y} | ({"w_transposed": w.mT} if self.dim <= SMALL else {})
        return Problem(params={"theta": theta}, data=data)

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        residual = batch["w"] @ params["theta"] - batch["y"]
        return residual.square().sum()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """∇f = 2 Wᵀ(Wθ − y) with one batched product each way: the settings of a seed share its W."""
        w, theta, y = batch["w"], params["theta"], batch["y"].unsqueeze(1)
        if torch.compiler.is_compiling() and self.dim <= SMALL:
            residual = (theta.unsqueeze(-1) * batch["w_transposed"].unsqueeze(1)).sum(2) - y
            return residual.square().sum(-1), {"theta": 2 * (residual.unsqueeze(-1) * w.unsqueeze(1)).sum(2)}
        residual = torch.bmm(theta, w.mT) - y
        # With beta = 0 the first argument is not read. Doubling in the product is exact, and saves a pass.
        return residual.square().sum(-1), {"theta": torch.baddbmm(residual, residual, w, beta=0, alpha=2)}
