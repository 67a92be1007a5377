"""The chained Rosenbrock function: a curved, narrow valley whose floor is nearly flat."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Task, Tensors


class ChainedRosenbrock(Task):
    """Minimise Σᵢ steepness · (θᵢ₊₁ − θᵢ²)² + (1 − θᵢ)², from a random start; the minimum is 0, at (1, …, 1).

    Parameter `theta [dim]`; no data and no minibatches.

    Example:
        >>> losses, grads = ChainedRosenbrock().loss_and_grad({"theta": torch.tensor([[[0.0, 1.0]]])}, {})
        >>> losses, grads["theta"]
        (tensor([[101.]]), tensor([[[ -2., 200.]]]))

    Source: Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function", for two
    coordinates; the chain over more of them is that of `scipy.optimize.rosen`.
    """

    name: ClassVar[str] = "chained-rosenbrock"

    horizon: int = Field(default=500, ge=1, le=1_000_000)
    """Number of optimizer steps. The starts of a seed do not depend on it."""
    dim: int = Field(default=2, ge=2, le=4096)
    """Number of coordinates of θ."""
    steepness: float = Field(default=100.0, gt=0, le=1e6)
    """Of the valley's walls; 100 is Rosenbrock's."""
    scale: float = Field(default=1.0, ge=0, le=100)
    """θ₀ ~ N(0, scale²)."""

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem(params={"theta": self.scale * torch.randn(self.dim, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        before, after = params["theta"][..., :-1], params["theta"][..., 1:]
        return (self.steepness * (after - before.square()).square() + (1 - before).square()).sum(-1)

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Each coordinate is the start of one link of the chain and the end of another."""
        theta = params["theta"]
        before, after = theta[..., :-1], theta[..., 1:]
        off_valley = 2 * self.steepness * (after - before.square())
        grad = torch.zeros_like(theta)
        grad[..., :-1] -= 2 * before * off_valley + 2 * (1 - before)
        grad[..., 1:] += off_valley
        return self.loss(params, batch), {"theta": grad}
