"""Logistic regression on small real data: convex, and with a penalty strongly so."""

from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.tasks.base import Tensors
from l2obench.tasks.classification import Classifier
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.scikit import ScikitSource, scikit, scikit_sources
from l2obench.tasks.dense import Dense


class Logistic(Classifier):
    """Multinomial logistic regression: cross-entropy of softmax(W x + b), plus penalty / 2 · ‖W‖².

    Features are standardised by the mean and the standard deviation of the training examples. Parameters
    `w0 [classes, features]`, `b0 [classes]`. The held-out loss is the cross-entropy alone.
    Source: Hastie, Tibshirani & Friedman 2009, section 4.4 (with an L2 penalty on all coefficients but the intercepts).
    """

    name: ClassVar[str] = "logistic"

    penalty: float = Field(default=1e-3, ge=0, le=1e3)
    """Multiplies half the squared weights; the intercepts are free. Above 0 the loss is strongly convex in the
    weights."""
    data: ScikitSource = "breast-cancer"
    """`breast-cancer`: 569 tumours, 30 features, 2 classes. `digits`: 1,797, 64 and 10. `wine`: 178, 13 and 3. A fifth
    is for tests."""

    def network(self) -> Dense:
        return Dense(hidden=())

    def examples(self, split: Literal["train", "test"]) -> Labelled:
        return _standardised(self.data, split)

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return super().loss(params, batch) + self.penalty / 2 * params["w0"].square().sum()

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        losses, grads = super().loss_and_grad(params, batch)
        weights = params["w0"]
        losses = losses + self.penalty / 2 * weights.square().sum((2, 3))
        return losses, {**grads, "w0": grads["w0"] + self.penalty * weights}

    def sources(self) -> dict[str, Any]:
        return scikit_sources(self.data)


@lru_cache(maxsize=6)
def _standardised(source: ScikitSource, split: Literal["train", "test"]) -> Labelled:
    train, found = scikit(source, "train"), scikit(source, split)
    deviation, mean = torch.std_mean(train.inputs, dim=0, correction=0)
    deviation = deviation.where(deviation > 0, 1)  # some pixels are black in every digit
    return Labelled((found.inputs - mean) / deviation, found.labels, found.one_hot)
