"""Folds: fifths of the training examples, held out one at a time, so that the test examples stay unseen."""

from functools import lru_cache
from typing import Literal

import torch

from l2obench.tasks.data.labelled import Labelled

FOLDS = 5


@lru_cache(maxsize=64)
def of_fold(examples: Labelled, fold: int, split: Literal["train", "test"]) -> Labelled:
    """Split training examples: every fifth one, from number `fold` on, is held out; the others are trained on.

    Args:
        examples: those for training.
        fold: 0 to 4.
        split: `train` or `test`.

    Returns:
        The examples of the split. Later calls give the same ones: do not change them.

    Example:
        >>> examples = Labelled.of(torch.arange(10.0).unsqueeze(1), torch.arange(10), classes=10)
        >>> of_fold(examples, 1, "test").labels
        tensor([1, 6])
    """
    held_out = torch.arange(len(examples.labels)) % FOLDS == fold
    chosen = held_out if split == "test" else ~held_out
    return Labelled(examples.inputs[chosen], examples.labels[chosen], examples.one_hot[chosen])
