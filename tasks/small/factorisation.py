"""Matrix factorisation: two embeddings whose products are to give a matrix of low rank, known in places."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.small.batched import BatchedTask, embed


class Factorisation(BatchedTask):
    """Minimise the mean of (uᵢ · vⱼ + aᵢ + bⱼ − yᵢⱼ)² over minibatches of places (i, j), as recommenders do.

    Y is a product of two Gaussian matrices over √rank, with a Gaussian effect for each row and column, plus noise; its
    entries have a standard deviation near 1. Parameters `rows [size, width]`, `columns [size, width]`,
    `row_effect [size]`, `column_effect [size]`.

    Source: Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems", equation 4. The
    distributions are ours.
    """

    name: ClassVar[str] = "factorisation"

    horizon: int = Field(default=300, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    size: int = Field(default=40, ge=2, le=4096)
    """Rows and columns of Y."""
    rank: int = Field(default=4, ge=1, le=256)
    """Rank of Y without its effects and noise."""
    width: int = Field(default=6, ge=1, le=256)
    """Numbers in each embedding."""
    noise: float = Field(default=0.1, ge=0, le=100)
    """Standard deviation of the noise."""
    batch: int = Field(default=64, ge=1, le=10_000)
    """Places in a minibatch."""
    scale: float = Field(default=0.1, gt=0, le=100)
    """Embeddings of θ₀ ~ N(0, scale²); effects start at 0."""

    def sample(self, generator: torch.Generator) -> Problem:
        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        product = random(self.size, self.rank) @ random(self.rank, self.size) / self.rank**0.5
        effects = 0.5 * random(self.size, 1) + 0.5 * random(1, self.size)
        y = product + effects + self.noise * random(self.size, self.size)
        params = {
            "rows": self.scale * random(self.size, self.width),
            "columns": self.scale * random(self.size, self.width),
            "row_effect": torch.zeros(self.size),
            "column_effect": torch.zeros(self.size),
        }
        return Problem(params, {"y": y})

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        shape = (steps, self.batch)
        return {name: torch.randint(self.size, shape, generator=generator) for name in ("i", "j")}

    def losses(self, params: Tensors, batch: Tensors) -> Tensor:
        i, j = batch["i"], batch["j"]
        products = (embed(params["rows"], i) * embed(params["columns"], j)).sum(-1)
        places = ((params["row_effect"], i), (params["column_effect"], j))
        effects = [embed(effect.unsqueeze(-1), at).squeeze(-1) for effect, at in places]
        y = batch["y"].flatten(1).gather(1, i * self.size + j)
        return (products + sum(effects) - y.unsqueeze(1)).square().mean(-1)
