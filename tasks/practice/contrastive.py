"""Two encoders that learn which halves belong together, by contrast."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from l2obench.tasks.data.digits import digits, digits_sources
from l2obench.tasks.practice.base import Practice

HALF = 14
# exp of it multiplies the cosines, as in the paper, section 2.4.
INITIAL_SCALE = 2.66


class Contrastive(Practice):
    """Find the right half of a digit among those of a minibatch from its left half, and the other way round.

    Each half has an encoder of two layers; the loss is the mean cross-entropy in nats over both directions, at a
    temperature that is learned. At 128 units and codes of 64: 117,121 parameters. The held-out loss is taken on
    minibatches of the same size, since it depends on how many there are to choose from.

    Source: Radford et al. 2021, "Learning transferable visual models from natural language supervision", figure 3.
    """

    name: ClassVar[str] = "practice-contrastive"

    units: int = Field(default=128, ge=1, le=4096)
    """Width of the hidden layers."""
    code: int = Field(default=64, ge=1, le=1024)
    """Numbers of a code."""
    batch: int = Field(default=100, ge=2, le=1_000)
    """Digits in a minibatch."""

    def make_model(self) -> nn.Module:
        return TwoEncoders(self.units, self.code)

    def training_data(self) -> Any:
        return halves("train")

    def heldout_data(self) -> Any:
        return halves("test")

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        scores = model(*batch)
        own = torch.arange(len(scores), device=scores.device)
        return (cross_entropy(scores, own) + cross_entropy(scores.mT, own)) / 2

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        pieces = list(zip(*(half.split(self.batch) for half in batch), strict=True))
        whole = [piece for piece in pieces if len(piece[0]) == len(pieces[0][0])]
        losses = torch.stack([self.batch_loss(model, piece) for piece in whole])
        own = torch.arange(len(whole[0][0]), device=losses.device)
        right = torch.stack([model(*piece).argmax(1) == own for piece in whole])
        return {"loss": losses.mean(), "accuracy": right.float().mean()}

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **digits_sources("mnist5k")}


class TwoEncoders(nn.Module):
    """How well each left half fits each right half, `[n, n]`.

    Args:
        units: width of the hidden layers.
        code: numbers of a code.
    """

    def __init__(self, units: int, code: int) -> None:
        super().__init__()
        pixels = HALF * 2 * HALF
        self.left, self.right = (
            nn.Sequential(nn.Linear(pixels, units), nn.ReLU(), nn.Linear(units, code)) for _ in range(2)
        )
        self.scale = nn.Parameter(torch.tensor([INITIAL_SCALE]))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.scale.exp() * normalize(self.left(left), dim=1) @ normalize(self.right(right), dim=1).mT


def halves(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """The left and the right halves of MNIST's digits, `[n, 392]` each.

    Args:
        split: which digits.
    """
    images = digits("mnist5k", split).inputs.view(-1, 2 * HALF, 2 * HALF)
    return images[:, :, :HALF].flatten(1), images[:, :, HALF:].flatten(1)
