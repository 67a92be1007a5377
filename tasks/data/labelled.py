"""Labelled examples as classifiers take them, on any device."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples with labels.

    Example:
        >>> Labelled.of(torch.zeros(2, 3), torch.tensor([0, 1]), classes=2).one_hot
        tensor([[1., 0.],
                [0., 1.]])
    """

    inputs: Tensor
    """`[n, features]` float32."""
    labels: Tensor
    """`[n]` int64."""
    one_hot: Tensor
    """`[n, classes]` float32."""

    @classmethod
    def of(cls, inputs: Tensor, labels: Tensor, classes: int) -> "Labelled":
        """Make examples from inputs and labels of any numeric types.

        Args:
            inputs: `[n, features]`.
            labels: `[n]`, from 0.
            classes: how many there are, those without an example included.
        """
        labels = labels.long()
        return cls(inputs.float(), labels, torch.nn.functional.one_hot(labels, classes).float())

    def to(self, device: torch.device) -> "Labelled":
        """These examples on another device. The copy is made once and kept.

        Args:
            device: where to.
        """
        return self if self.inputs.device == device else _on_device(self, device)


@lru_cache(maxsize=8)
def _on_device(examples: Labelled, device: torch.device) -> Labelled:
    return Labelled(examples.inputs.to(device), examples.labels.to(device), examples.one_hot.to(device))
