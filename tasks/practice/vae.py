"""A variational autoencoder, on handwritten digits."""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from l2obench.tasks.data.digits import digits, digits_sources
from l2obench.tasks.practice.base import Practice

PIXELS = 784


class VAE(Practice):
    """The negative evidence lower bound of MNIST's digits, in nats a digit; one sample of the code each.

    Widths 784 – units – code – units – 784; grey values count as probabilities of a pixel. At 256 units and a code of
    16: 415,024 parameters.

    Source: Kingma and Welling 2014, "Auto-encoding variational Bayes", appendices B and C.
    """

    name: ClassVar[str] = "practice-vae"

    units: int = Field(default=256, ge=1, le=4096)
    """Width of the layers before and after the code."""
    code: int = Field(default=16, ge=1, le=1024)
    """Numbers of a code."""
    batch: int = Field(default=64, ge=1, le=10_000)
    """Digits in a minibatch."""

    def make_model(self) -> nn.Module:
        return Coder(self.units, self.code)

    def training_data(self) -> Any:
        return digits("mnist5k", "train").inputs

    def heldout_data(self) -> Any:
        return digits("mnist5k", "test").inputs

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        logits, mean, log_variance = model(batch)
        missed = binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(1)
        from_prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        bound: Tensor = (missed + from_prior).mean()
        return bound

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **digits_sources("mnist5k")}


class Coder(nn.Module):
    """Logits of the pixels of a digit from a sample of its code, and the code's mean and log variance.

    Args:
        units: width of the hidden layers.
        code: numbers of a code.
    """

    def __init__(self, units: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, units), nn.ReLU(), nn.Linear(units, 2 * code))
        self.decoder = nn.Sequential(nn.Linear(code, units), nn.ReLU(), nn.Linear(units, PIXELS))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(pixels).chunk(2, -1)
        sample = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(sample), mean, log_variance
