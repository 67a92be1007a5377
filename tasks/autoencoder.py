"""An autoencoder of fully connected layers on MNIST digits: no labels, another loss, a narrow layer in the middle."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from l2obench.tasks.base import Tensors
from l2obench.tasks.data.digits import DigitSource, digits, digits_sources
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.reconstruction import Reconstruction


class Autoencoder(Reconstruction):
    """Reconstruct digits from a short code: mean squared error over pixels, on minibatches drawn with replacement.

    Widths 784 – units – code – units – 784; the outputs pass through a sigmoid. Parameters `w0 [units, 784]`,
    `b0 [units]`, … up to `w3 [784, units]`, `b3 [784]`. Pixels are in 0..1. The held-out loss is the same error on all
    test digits.

    Source: the autoencoders of Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in
    learned optimizers" (library learned_optimization, task ImageMLPAE_Mnist_128x32x128_bs128), at half the widths.
    """

    name: ClassVar[str] = "autoencoder"

    horizon: int = Field(default=500, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    data: DigitSource = "mnist5k"
    """`mnist5k`: 5,000 real digits that come in a wheel. `mnist`: all of MNIST, through torchvision."""

    def examples(self, split: Literal["train", "test"]) -> Labelled:
        return digits(self.data, split)

    def evaluate(self, params: Tensors) -> Tensors:
        like = params["w0"]
        x = self.examples("test").to(like.device).inputs.to(like.dtype).expand(like.shape[0], -1, -1)
        _, logits = self.network().forward(params, x)
        return {"loss": logits.sigmoid_().sub_(x.mT.unsqueeze(1)).square_().mean((2, 3))}

    def sources(self) -> dict[str, Any]:
        return digits_sources(self.data)
