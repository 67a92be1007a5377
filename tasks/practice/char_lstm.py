"""An LSTM as a language model of characters."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.data.unicode_names import ALPHABET
from l2obench.tasks.practice.text import LanguageModel

EMBEDDED = 32
DROPPED = 0.1


class CharLSTM(LanguageModel):
    """Embeddings, one recurrent layer, dropout, a linear layer at each place.

    At 128 units: 89,223 parameters. Every window begins with a state of zeros.

    Source: Zaremba et al. 2014, "Recurrent neural network regularization", where dropout stands.
    """

    name: ClassVar[str] = "practice-char-lstm"

    units: int = Field(default=128, ge=1, le=1024)
    """Units of the recurrent layer."""
    context: int = Field(default=48, ge=1, le=512)
    """Characters in a window."""
    batch: int = Field(default=16, ge=1, le=10_000)
    """Windows in a minibatch."""

    def make_model(self) -> nn.Module:
        return RecurrentModel(self.units)


class RecurrentModel(nn.Module):
    """Scores of the next character at each place.

    Args:
        units: of the recurrent layer.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), EMBEDDED)
        self.recurrent = nn.LSTM(EMBEDDED, units, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(DROPPED), nn.Linear(units, len(ALPHABET)))

    def forward(self, text: Tensor) -> Tensor:
        states, _ = self.recurrent(self.characters(text))
        scores: Tensor = self.head(states)
        return scores
