"""Windows of a text, as the language models of `practice` take them."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from l2obench.tasks.data.unicode_names import codes, unicode_names_sources
from l2obench.tasks.practice.base import Practice

# Windows begin at every eighth character: each place of a window sees all of the text's.
STRIDE = 8


class LanguageModel(Practice):
    """Predict the next character of the names of Unicode's characters: cross-entropy in nats over all places.

    The model gives scores `[windows, places, characters]` of `[windows, places]`.
    """

    context: int
    """Characters in a window."""

    def training_data(self) -> Any:
        return windows("train", self.context, STRIDE)

    def heldout_data(self) -> Any:
        return windows("test", self.context, self.context)

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        return cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        scores, target = model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()
        return {"loss": cross_entropy(scores, target), "accuracy": (scores.argmax(1) == target).float().mean()}

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **unicode_names_sources()}


def windows(split: Literal["train", "test"], context: int, stride: int) -> Tensor:
    """Windows `[n, context + 1]` of a split, as places in the alphabet.

    Args:
        split: pieces of the text.
        context: characters to predict from.
        stride: from the start of a window to that of the next.
    """
    return codes(split, torch.device("cpu")).unfold(0, context + 1, stride)
