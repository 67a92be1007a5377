"""A perceptron on a table: numbers on different scales, categories, and noise."""

from functools import lru_cache
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from l2obench.tasks.practice.base import Practice

ROWS, HELD_OUT = 8_000, 2_000
NUMBERS, CATEGORIES, KINDS = 10, 4, 12
# Results depend on the table: the seed must never change.
SEED = 20161130
DROPPED = 0.1


class Tabular(Practice):
    """Squared error on a table that is made from a formula, since the real tables of our packages have few rows.

    Ten columns of numbers, five of which matter (Friedman's function), and every other one of which is skewed; four
    columns of twelve categories each, two of which shift the answer; noise. All numbers and answers are standardised,
    and 1 is the error of the mean. The noise leaves .035. At 256 units: 143,233 parameters.

    Source: the function of Friedman 1991, "Multivariate adaptive regression splines", section 4.3; embedded categories
    as in Gorishniy et al. 2021, "Revisiting deep learning models for tabular data".
    """

    name: ClassVar[str] = "practice-tabular"

    units: int = Field(default=256, ge=1, le=4096)
    """Width of the three hidden layers."""
    batch: int = Field(default=64, ge=1, le=10_000)
    """Rows in a minibatch."""

    def make_model(self) -> nn.Module:
        return TableModel(self.units)

    def training_data(self) -> Any:
        return tuple(column[:-HELD_OUT] for column in table())

    def heldout_data(self) -> Any:
        return tuple(column[-HELD_OUT:] for column in table())

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        numbers, categories, answers = batch
        return mse_loss(model(numbers, categories), answers)


class TableModel(nn.Module):
    """Three hidden layers on the numbers and on an embedding of each category.

    Args:
        units: width of the hidden layers.
    """

    def __init__(self, units: int, embedded: int = 8) -> None:
        super().__init__()
        self.categories = nn.Embedding(CATEGORIES * KINDS, embedded)
        self.layers = nn.Sequential(
            nn.Linear(NUMBERS + CATEGORIES * embedded, units), nn.ReLU(), nn.Dropout(DROPPED),
            nn.Linear(units, units), nn.ReLU(), nn.Dropout(DROPPED),
            nn.Linear(units, units), nn.ReLU(), nn.Linear(units, 1),
        )  # fmt: skip

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = self.categories(categories).flatten(1)
        answers: Tensor = self.layers(torch.cat([numbers, embedded], 1)).squeeze(1)
        return answers


@lru_cache(maxsize=1)
def table() -> tuple[Tensor, Tensor, Tensor]:
    """Numbers `[10,000, 10]`, categories `[10,000, 4]` with a range of its own for each column, answers `[10,000]`."""
    random = torch.Generator().manual_seed(SEED)
    count = ROWS + HELD_OUT
    x = torch.rand(count, NUMBERS, generator=random)
    kinds = torch.randint(KINDS, (count, CATEGORIES), generator=random)
    shifts = torch.randn(2, KINDS, generator=random)
    answers = 10 * (torch.pi * x[:, 0] * x[:, 1]).sin() + 20 * (x[:, 2] - 0.5).square() + 10 * x[:, 3] + 5 * x[:, 4]
    answers = answers + 2 * shifts[0, kinds[:, 0]] + 2 * shifts[1, kinds[:, 1]]
    answers = answers + torch.randn(count, generator=random)
    x[:, ::2] = (4 * x[:, ::2]).exp()
    return _standardised(x), kinds + KINDS * torch.arange(CATEGORIES), _standardised(answers)


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0)
