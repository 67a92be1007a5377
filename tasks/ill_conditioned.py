"""Ill-conditioned quadratics: a spectrum over orders of magnitude, in a random basis, around a random minimum."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors


class IllConditioned(Task):
    """Minimise ½ (θ − θ*)ᵀ H (θ − θ*): exact gradients, and H has exactly the condition number that is asked for.

    Parameter `theta [dim]`; data `root` W `[dim, dim]`, `minimum` θ* `[dim]`. There are no minibatches.

    H = Q Λ Qᵀ with Q a random rotation (uniform, Stewart 1980) and eigenvalues log-uniform on [1 / condition, 1], the
    largest and the smallest at the ends. It is kept as its root W = Λ^½ Qᵀ, so that no rounding makes it indefinite.
    `quadratic[condition=…]` differs: its spectrum is the same for every function, and its W has the condition number.

    Source: Stewart 1980, "The efficient generation of random orthogonal matrices", for the rotation. The distribution
    of the eigenvalues is ours.
    """

    name: ClassVar[str] = "ill-conditioned"

    horizon: int = Field(default=200, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions of a seed do not depend on it."""
    dim: int = Field(default=20, ge=2, le=4096)
    """Number of coordinates of θ."""
    condition: float = Field(default=1e3, ge=1, le=1e8)
    """Largest over smallest eigenvalue of H."""
    scale: float = Field(default=1.0, ge=0, le=1e6)
    """θ₀ and θ* ~ N(0, scale²) each."""

    def sample(self, generator: torch.Generator) -> Problem:
        exponents = torch.rand(self.dim, generator=generator, dtype=torch.float64)
        exponents[0], exponents[1] = 0, 1
        q, r = torch.linalg.qr(torch.randn(self.dim, self.dim, generator=generator, dtype=torch.float64))
        rotation = q * r.diagonal().sign()  # without the signs the factorisation is not uniform
        root = self.condition ** (-exponents[:, None] / 2) * rotation.mT
        minimum = self.scale * torch.randn(self.dim, generator=generator)
        theta = self.scale * torch.randn(self.dim, generator=generator)
        return Problem(params={"theta": theta}, data={"root": root.float(), "minimum": minimum})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return (batch["root"] @ (params["theta"] - batch["minimum"])).square().sum() / 2

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """∇f = Wᵀ W (θ − θ*) with one batched product each way: the settings of a seed share its W."""
        root = batch["root"]
        image = torch.bmm(params["theta"] - batch["minimum"].unsqueeze(1), root.mT)
        return image.square().sum(-1) / 2, {"theta": torch.bmm(image, root)}
