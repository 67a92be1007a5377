"""A graph network, on handwritten digits as clouds of points."""

from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.digits import digits, digits_sources
from l2obench.tasks.practice.base import Classification

SIDE = 28
POINTS, NEIGHBOURS = 32, 6
# Results depend on the points: the seeds must never change.
SEEDS = {"train": 20161130, "test": 20161131}


class Graph(Classification):
    """Name a digit from 32 points of its ink, each joined with its six nearest, by passing messages along the joins.

    Points are drawn from MNIST's pixels by their grey values. In each of three rounds a perceptron gives a message for
    every join from the numbers of its two ends. A point takes the mean of its messages, and adds it after batch norm
    and ReLU to its own numbers. The classes come from the largest and the mean over all points.
    At 64 units: 38,474 parameters.

    Source: Wang et al. 2019, "Dynamic graph CNN for learning on point clouds", equations 7 and 8, with the mean
    in place of the maximum, and the graph of the places in all rounds.
    """

    name: ClassVar[str] = "practice-graph"

    units: int = Field(default=64, ge=1, le=1024)
    """Numbers of a point, and width of the hidden layers."""
    rounds: int = Field(default=3, ge=1, le=16)
    """Rounds of messages."""
    batch: int = Field(default=16, ge=2, le=10_000)
    """Digits in a minibatch."""

    def make_model(self) -> nn.Module:
        return GraphNetwork(self.units, self.rounds)

    def training_data(self) -> Any:
        return graphs("train"), digits("mnist5k", "train").labels

    def heldout_data(self) -> Any:
        return graphs("test"), digits("mnist5k", "test").labels

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **digits_sources("mnist5k")}


class GraphNetwork(nn.Module):
    """Scores of ten classes of graphs, which are places `[n, points, 2]` and neighbours `[n, points, neighbours]`.

    Args:
        units: numbers of a point.
        rounds: of messages.
    """

    def __init__(self, units: int, rounds: int) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(Messages(units if k else 2, units) for k in range(rounds))
        hidden = nn.Linear(2 * units, units, bias=False)
        self.head = nn.Sequential(hidden, nn.BatchNorm1d(units), nn.ReLU(), nn.Linear(units, 10))

    def forward(self, graph: tuple[Tensor, Tensor]) -> Tensor:
        values, neighbours = graph
        for messages in self.rounds:
            values = messages(values, neighbours)
        scores: Tensor = self.head(torch.cat([values.amax(1), values.mean(1)], -1))
        return scores


class Messages(nn.Module):
    """One round: from the numbers of points `[n, points, before]` to new ones `[n, points, units]`.

    Args:
        before: numbers of a point.
        units: the same after this round. Where both are equal, there is a connection around the round.
    """

    def __init__(self, before: int, units: int) -> None:
        super().__init__()
        # Two products whose sum is one layer on both ends of a join: each is taken once a point, not once a join.
        self.own, self.other = nn.Linear(before, units), nn.Linear(before, units, bias=False)
        # Batch norm takes away a shift before it, so neither layer before one has a bias.
        self.out = nn.Linear(units, units, bias=False)
        self.norm = nn.BatchNorm1d(units)

    def forward(self, values: Tensor, neighbours: Tensor) -> Tensor:
        others = self.other(values)
        index = neighbours.flatten(1).unsqueeze(-1).expand(-1, -1, others.shape[-1])
        ends = others.gather(1, index).unflatten(1, neighbours.shape[1:])
        messages = self.out((self.own(values).unsqueeze(2) + ends).relu())
        taken = messages.mean(2)
        change: Tensor = self.norm(taken.flatten(0, 1)).view_as(taken).relu()
        return values + change if values.shape == change.shape else change


@lru_cache(maxsize=2)
def graphs(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """MNIST's digits as graphs: places of points `[n, 32, 2]` in −1..1, and each point's nearest six, `[n, 32, 6]`.

    The pixels are a weighted sample without replacement, with u to the power of 1 / grey value as keys (Efraimidis and
    Spirakis 2006, "Weighted random sampling with a reservoir"). A point lies anywhere in its pixel.

    Args:
        split: which digits.
    """
    images = digits("mnist5k", split).inputs.double()
    random = torch.Generator().manual_seed(SEEDS[split])
    keys = torch.rand(images.shape, generator=random, dtype=torch.float64).log() / images
    pixels = keys.topk(POINTS, 1).indices
    corners = torch.stack([pixels // SIDE, pixels % SIDE], 2)
    places = (corners + torch.rand(corners.shape, generator=random, dtype=torch.float64)) * (2 / SIDE) - 1
    distances = (places.unsqueeze(1) - places.unsqueeze(2)).square().sum(3)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return places.float(), distances.topk(NEIGHBOURS, 2, largest=False).indices
