"""Classification by a fully connected network: cross-entropy on minibatches, held-out loss and accuracy."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.tensors import take_rows
from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.data.folds import FOLDS, of_fold
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.dense import Activation, Dense


class Classifier(Task):
    """A classifier on labelled examples; minibatches are drawn with replacement.

    A subclass gives the network and the examples. The loss is the mean cross-entropy of a minibatch, in nats. Held-out
    metrics are the cross-entropy and the accuracy, a share in 0..1, on all held-out examples.

    Parameters are those of `l2obench.tasks.dense.Dense`, down to the output layer `[classes, …]`, `[classes]`.
    """

    final_window: ClassVar[int] = 10
    # A float32 cross-entropy is 6 % off at 1e-6, and 0 below 4e-7: the logits' exponentials are lost beside 1.
    floor: ClassVar[float] = 1e-6

    batch: int = Field(default=128, ge=1, le=10_000)
    """Examples in a minibatch. The default is that of Andrychowicz et al. 2016, section 3.2."""
    scale: float = Field(default=0.1, ge=0, le=100)
    """θ₀ ~ N(0, scale²), biases included."""
    fold: int | None = Field(default=None, ge=0, lt=FOLDS)
    """Number of a fifth of the training examples that is held out in place of the test examples, so that meta-training
    can look at held-out losses and the test examples stay unseen. Unless given, all are trained on."""

    @abstractmethod
    def network(self) -> Dense:
        """What is trained."""

    @abstractmethod
    def examples(self, split: Literal["train", "test"]) -> Labelled:
        """The examples of a split.

        Args:
            split: `train` or `test`.

        Returns:
            Inputs `[n, features]` with labels. Called at every step: keep them.

        Raises:
            FileNotFoundError: the data are not on this machine; the message says how to get them.
        """

    def part(self, split: Literal["train", "test"]) -> Labelled:
        """The examples of a split, where `fold` has its say: those trained on, or those held out.

        Args:
            split: `train` or `test`.
        """
        return self.examples(split) if self.fold is None else of_fold(self.examples("train"), self.fold, split)

    def sample(self, generator: torch.Generator) -> Problem:
        train = self.part("train")
        inputs, classes = train.inputs.shape[1], train.one_hot.shape[1]
        return Problem(self.network().start(inputs, classes, self.scale, generator))

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        count = len(self.part("train").labels)
        return {"index": torch.randint(count, (steps, self.batch), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """`x [seeds, batch, inputs]` and one-hot `y [seeds, batch, classes]`, the same for all settings of a seed."""
        index = draw["index"]
        train = self.part("train").to(index.device)
        return {"x": take_rows(train.inputs, index), "y": take_rows(train.one_hot, index)}

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        log_p = self.network().replica(params, batch["x"]).log_softmax(0)
        return -(log_p * batch["y"].mT).sum(0).mean()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Backpropagation by hand: the settings of a seed share one product with its minibatch in the first layer."""
        network = self.network()
        layers, logits = network.forward(params, batch["x"])
        log_p = logits.log_softmax(2)
        target = batch["y"].mT.contiguous().unsqueeze(1)  # along the rows of log_p
        losses = -(log_p * target).sum((2, 3)) / self.batch
        delta = log_p.exp_().sub_(target).div_(self.batch)
        return losses, network.backward(params, batch["x"], layers, delta)

    def evaluate(self, params: Tensors) -> Tensors:
        like = params["w0"]
        test = self.part("test").to(like.device)
        x = test.inputs.to(like.dtype).expand(like.shape[0], -1, -1)
        _, logits = self.network().forward(params, x)
        log_p = logits.log_softmax(2)
        loss = -log_p.mul(test.one_hot.to(like.dtype).mT).sum((2, 3)) / len(test.labels)
        accuracy = (logits.argmax(2) == test.labels).to(like.dtype).mean(-1)
        return {"loss": loss, "accuracy": accuracy}

    def require_data(self) -> None:
        self.examples("train")


class MultilayerPerceptron(Classifier):
    """A classifier whose hidden layers are of equal width.

    The defaults are those of Andrychowicz et al. 2016, section 3.2: one hidden layer of 20 sigmoid units.
    """

    units: int = Field(default=20, ge=1, le=4096)
    """Width of each hidden layer."""
    layers: int = Field(default=1, ge=1, le=64)
    """Number of hidden layers."""
    activation: Activation = "sigmoid"
    """Activation of the hidden layers."""

    def network(self) -> Dense:
        return Dense((self.units,) * self.layers, self.activation)
