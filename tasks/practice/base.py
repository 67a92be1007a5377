"""What all problems of `practice` share: their horizon, which are kept aside, and how classifiers are scored."""

from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from l2obench.tasks.data.held_out import HeldOut
from l2obench.tasks.module import ModuleTask
from l2obench.tasks.practice import KEPT_ASIDE, OPEN


class Practice(ModuleTask):
    """A model of a kind that people train, at a size that takes seconds: its own initialisation for each seed."""

    horizon: int = Field(default=500, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""

    def require_trainable(self) -> None:
        if self.name in KEPT_ASIDE:
            raise HeldOut(
                f"{self.name} is kept aside for comparisons, so no optimizer may be trained on it. "
                f"Try: {', '.join(OPEN)}"
            )


class Classification(Practice):
    """Minibatches are inputs and classes; the loss is cross-entropy in nats."""

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        inputs, classes = batch
        return cross_entropy(model(inputs), classes)

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        inputs, classes = batch
        scores = model(inputs)
        return {"loss": cross_entropy(scores, classes), "accuracy": (scores.argmax(1) == classes).float().mean()}
