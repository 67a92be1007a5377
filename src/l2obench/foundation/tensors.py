"""Tensors by name, which parameters, gradients, updates, data and meta-parameters are; and tensors in nested states."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
"""Tensors by name, for example a model's parameters: `{"w0": [units, inputs], "b0": [units]}`."""


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]`, by the operation that is faster for whole rows.

    Args:
        values: `[n, ...]`.
        index: positions of rows, of any shape.

    Returns:
        `[*index.shape, ...]`.

    Example:
        >>> take_rows(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1], [0]])).tolist()
        [[[3, 4]], [[1, 2]]]
    """
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])


def flatten(tensors: Tensors) -> Tensor:
    """Put all numbers in a row, in the order of the dict.

    Args:
        tensors: of any shape.

    Returns:
        `[numbers]`.

    Example:
        >>> flatten({"w": torch.ones(2, 2), "b": torch.zeros(1)}).tolist()
        [1.0, 1.0, 1.0, 1.0, 0.0]
    """
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def unflatten(row: Tensor, like: Tensors) -> Tensors:
    """Give a row of `flatten` the names and shapes that it came from.

    Args:
        row: `[numbers]`.
        like: tensors with the names and shapes of the result.
    """
    parts = torch.split(row, [tensor.numel() for tensor in like.values()])
    return {name: part.view(tensor.shape) for (name, tensor), part in zip(like.items(), parts, strict=True)}


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
        >>> len(list(tensors_of({"step": 1, "of": [torch.ones(2), {"mean": torch.ones(2)}]})))
        2
    """
    if isinstance(state, Tensor):
        yield state
        return
    for part in state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ():
        yield from tensors_of(part)
