"""Rosenbrock's valley, rotated and started at random."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors


class Rosenbrock(Task):
    """Minimise Σᵢ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)² over θ, with x = Rθ and a fresh rotation R for every function."""

    name: ClassVar[str] = "rosenbrock"

    dim: int = Field(default=4, ge=2, le=1000)
    """Number of coordinates of θ."""

    def sample(self, generator: torch.Generator) -> Problem:
        rotation, _ = torch.linalg.qr(torch.randn(self.dim, self.dim, generator=generator))
        theta = 0.5 * torch.randn(self.dim, generator=generator)
        return Problem(params={"theta": theta}, data={"rotation": rotation})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        x = batch["rotation"] @ params["theta"]
        return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()
