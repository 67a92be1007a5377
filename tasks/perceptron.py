"""Multilayer perceptrons on data other than MNIST: 8×8 digits, signals of one dimension, crops of photographs."""

from functools import lru_cache
from typing import Any, ClassVar, Literal

from l2obench.tasks.classification import MultilayerPerceptron
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.mnist1d import mnist1d, mnist1d_sources
from l2obench.tasks.data.photos10 import PHOTOS10, crops, photos10_sources
from l2obench.tasks.data.scikit import scikit_digits, scikit_sources


class Perceptron(MultilayerPerceptron):
    """Train the perceptron of `mnist-mlp` on other data: cross-entropy on minibatches drawn with replacement.

    Data, with ten classes each:

    - `digits`: 64 pixels in 0..1; 1,438 examples to train on, 359 to test.
    - `mnist1d`: signals of 40 points, as in their paper; 4,000 and 1,000.
    - `photos10`: 3,072 values of crops without their mean colour; 5,000 and 1,000. Textures are hard for a perceptron:
      the training loss falls, and little of that carries over to the held-out crops.

    Parameters `w0 [units, inputs]`, `b0 [units]`, … up to the output layer `[10, units]`, `[10]`.

    Source: Alpaydin & Kaynak 1998 (UCI repository) for `digits`; Greydanus 2020, "Scaling down deep learning", for
    `mnist1d`. The network is that of Andrychowicz et al. 2016, section 3.2.
    """

    name: ClassVar[str] = "perceptron"

    data: Literal["digits", "mnist1d", "photos10"] = "digits"
    """`digits`: 1,797 digits of 8×8 pixels, from scikit-learn. `mnist1d`: 5,000 signals of 40 points (Greydanus 2020).
    `photos10`: the 32×32 colour crops of `cifar-cnn`."""

    def examples(self, split: Literal["train", "test"]) -> Labelled:
        return _examples(self.data, split)

    def sources(self) -> dict[str, Any]:
        match self.data:
            case "digits":
                return scikit_sources("digits")
            case "mnist1d":
                return mnist1d_sources()
            case "photos10":
                return photos10_sources()


@lru_cache(maxsize=6)
def _examples(source: str, split: Literal["train", "test"]) -> Labelled:
    match source:
        case "digits":
            return scikit_digits(split)
        case "mnist1d":
            return mnist1d(split)
        case _:
            images, labels = crops(split)
            pixels = images.float() / 127.5
            pixels -= pixels.mean((2, 3), keepdim=True)  # random, and a perceptron would see little else
            return Labelled.of(pixels.flatten(1), labels, len(PHOTOS10))
