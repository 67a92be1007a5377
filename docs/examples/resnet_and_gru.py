"""Two models on scikit-learn's digits, as tasks: a residual network with batch norm, and a GRU with an embedding."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from l2obench import ModuleTask

TRAINING = 1500  # of 1797 images; the others are held out
BRIGHTNESSES = 17  # values of a pixel


class Digits(ModuleTask):
    """What both tasks share: the loss and the metrics. Minibatches are inputs and classes."""

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(model(x), y)

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        x, y = batch
        scores = model(x)
        return {
            "loss": functional.cross_entropy(scores, y),
            "accuracy": (scores.argmax(1) == y).float().mean(),
            "top3": (scores.topk(3, 1).indices == y.unsqueeze(1)).any(1).float().mean(),
        }


class ResNet(Digits):
    """Images `[1, 8, 8]` in 0..1."""

    channels: int = 8
    """Channels of every convolution: `-t './resnet_and_gru.py:ResNet[channels=16]'`."""
    blocks: int = 2
    """Residual blocks."""

    def make_model(self) -> nn.Module:
        return ResidualNetwork(self.channels, self.blocks)

    def training_data(self) -> Any:
        x, y = images()
        return x[:TRAINING], y[:TRAINING]

    def heldout_data(self) -> Any:
        x, y = images()
        return x[TRAINING:], y[TRAINING:]


class GRU(Digits):
    """Sequences of 16 tokens: the brightness of each patch of 2 × 2 pixels."""

    hidden: int = 16
    """Units of the recurrent layer."""

    def make_model(self) -> nn.Module:
        return SequenceClassifier(self.hidden)

    def training_data(self) -> Any:
        tokens, y = sequences()
        return tokens[:TRAINING], y[:TRAINING]

    def heldout_data(self) -> Any:
        tokens, y = sequences()
        return tokens[TRAINING:], y[TRAINING:]


class Block(nn.Module):
    """Two convolutions with batch norm, and a connection around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(x + self.second_norm(self.second(inner)))


class ResidualNetwork(nn.Module):
    """A convolution, residual blocks, and a linear layer on the mean over pixels."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class SequenceClassifier(nn.Module):
    """An embedding, a GRU, and a linear layer on its last output."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BRIGHTNESSES, 8)
        self.recurrent = nn.GRU(8, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def forward(self, tokens: Tensor) -> Any:
        outputs, _ = self.recurrent(self.embedding(tokens))
        return self.head(outputs[:, -1])


def images() -> tuple[Tensor, Tensor]:
    """Images `[1797, 1, 8, 8]` in 0..1, and their classes."""
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)


def sequences() -> tuple[Tensor, Tensor]:
    """Tokens `[1797, 16]` from 0 to 16, and the classes."""
    x, y = images()
    return functional.avg_pool2d(x * 16, 2).flatten(1).round().long(), y
