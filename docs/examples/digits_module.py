"""A small convolutional network with batch norm and dropout on scikit-learn's digits, as a task."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from l2obench.tasks.module import ModuleTask

TRAINING = 1500  # of 1797 images; the others are held out


class Digits(ModuleTask):
    """Images of 8 × 8 pixels, ten classes."""

    channels: int = 8
    """Channels of the convolution: `-t './digits_module.py:Digits[channels=16]'`."""

    def make_model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, self.channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.channels),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16 * self.channels, 10),
        )

    def training_data(self) -> Any:
        x, y = digits()
        return x[:TRAINING], y[:TRAINING]

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(model(x), y)

    def heldout_data(self) -> Any:
        x, y = digits()
        return x[TRAINING:], y[TRAINING:]

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        x, y = batch
        logits = model(x)
        return {
            "loss": functional.cross_entropy(logits, y),
            "accuracy": (logits.argmax(1) == y).float().mean(),
            "top3": (logits.topk(3, 1).indices == y.unsqueeze(1)).any(1).float().mean(),
        }


def digits() -> tuple[Tensor, Tensor]:
    """Images `[1797, 1, 8, 8]` in 0..1, and their classes."""
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)
