"""An autoencoder on 8×8 digits."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.scikit import scikit_digits, scikit_sources
from l2obench.tasks.reconstruction import Reconstruction


class DigitAutoencoder(Reconstruction):
    """Reconstruct 8×8 digits from a short code: mean squared error over pixels in 0..1, outputs through a sigmoid.

    Widths 64 – units – code – units – 64. Parameters `w0 [units, 64]`, `b0 [units]`, … up to `w3 [64, units]`,
    `b3 [64]`. Data: scikit-learn's digits, 1,438 to train on.

    Source: `autoencoder`, at a twelfth of its size. Data: Alpaydin & Kaynak 1998 (UCI repository).
    """

    name: ClassVar[str] = "digit-autoencoder"

    horizon: int = Field(default=200, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""
    units: int = Field(default=24, ge=1, le=4096)
    """Width of the layers before and after the code."""
    code: int = Field(default=8, ge=1, le=4096)
    """Width of the code."""
    batch: int = Field(default=32, ge=1, le=10_000)
    """Digits in a minibatch."""

    def examples(self, split: Literal["train", "test"]) -> Labelled:
        return scikit_digits(split)

    def sources(self) -> dict[str, Any]:
        return scikit_sources("digits")
