"""Multilayer perceptrons on MNIST digits: the paper's section 3.2, with its transfers to other architectures."""

from typing import Any, ClassVar, Literal

from l2obench.tasks.classification import MultilayerPerceptron
from l2obench.tasks.data.digits import DigitSource, digits, digits_sources
from l2obench.tasks.data.labelled import Labelled


class MnistMlp(MultilayerPerceptron):
    """Train a small perceptron on digits: cross-entropy on minibatches drawn with replacement.

    Data: 28×28 pixels in 0..1; with `mnist5k` 4,000 digits to train on and 1,000 to test, with `mnist` 60,000 and
    10,000. Parameters `w0 [units, 784]`, `b0 [units]`, … up to the output layer `[10, units]`, `[10]`.

    Source: Andrychowicz et al. 2016, section 3.2 (one hidden layer of 20 sigmoid units, batches of 128, 100 steps).
    """

    name: ClassVar[str] = "mnist-mlp"

    data: DigitSource = "mnist5k"
    """`mnist5k`: 5,000 real digits that come in a wheel. `mnist`: all of MNIST, through torchvision."""

    def examples(self, split: Literal["train", "test"]) -> Labelled:
        return digits(self.data, split)

    def sources(self) -> dict[str, Any]:
        return digits_sources(self.data)
