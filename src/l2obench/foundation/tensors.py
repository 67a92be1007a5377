"""Tensors by name, which parameters, gradients, updates, data and meta-parameters are; and tensors in nested states."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]
"""Tensors by name, for example a model's parameters: `{"w0": [units, inputs], "b0": [units]}`."""


def tensors_bytes(state: Any) -> int:
    """Count the bytes of every tensor in a nested state.

    Args:
        state: nested dicts, lists and tuples.
    """
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(state))


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Give every tensor in a nested state.

    Args:
        state: nested dicts, lists and tuples.

    Example:
        >>> import torch
        >>> len(list(tensors_of({"step": 1, "of": [torch.ones(2), {"mean": torch.ones(2)}]})))
        2
    """
    if isinstance(state, Tensor):
        yield state
        return
    for part in state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ():
        yield from tensors_of(part)
