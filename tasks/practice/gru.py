"""A GRU that classifies signals."""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.mnist1d import mnist1d, mnist1d_sources
from l2obench.tasks.practice.base import Classification

VALUES = 4


class GRU(Classification):
    """Read a signal of MNIST-1D, four of its 40 values a step; a linear layer on the last state names its class.

    At 96 units: 30,346 parameters.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder–decoder", section 2.3.
    """

    name: ClassVar[str] = "practice-gru"

    units: int = Field(default=96, ge=1, le=1024)
    """Units of the recurrent layer."""
    batch: int = Field(default=32, ge=1, le=10_000)
    """Signals in a minibatch."""

    def make_model(self) -> nn.Module:
        return SignalClassifier(self.units)

    def training_data(self) -> Any:
        train = mnist1d("train")
        return train.inputs, train.labels

    def heldout_data(self) -> Any:
        test = mnist1d("test")
        return test.inputs, test.labels

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **mnist1d_sources()}


class SignalClassifier(nn.Module):
    """Scores of ten classes of signals `[n, places]`.

    Args:
        units: of the recurrent layer.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(VALUES, units, batch_first=True)
        self.head = nn.Linear(units, 10)

    def forward(self, signals: Tensor) -> Tensor:
        states, _ = self.recurrent(signals.view(len(signals), -1, VALUES))
        scores: Tensor = self.head(states[:, -1])
        return scores
