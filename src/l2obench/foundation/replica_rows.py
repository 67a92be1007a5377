"""All coordinates of a replica in one row, and back: for rules that take products over all parameters."""

import torch
from torch import Tensor

from l2obench.foundation.tensors import Tensors


def flatten_replicas(tensors: Tensors) -> Tensor:
    """Put all coordinates of each replica in a row, in the order of the dict.

    Args:
        tensors: `[seeds, settings, ...]` each.

    Returns:
        `[seeds, settings, coordinates]`.

    Example:
        >>> flatten_replicas({"w": torch.ones(1, 1, 2, 2), "b": torch.zeros(1, 1, 1)})
        tensor([[[1., 1., 1., 1., 0.]]])
    """
    return torch.cat([value.reshape(*value.shape[:2], -1) for value in tensors.values()], dim=-1)


def unflatten_replicas(row: Tensor, like: Tensors) -> Tensors:
    """Give a row of `flatten_replicas` the names and shapes that it came from.

    Args:
        row: `[seeds, settings, coordinates]`.
        like: tensors with the names and shapes of the result.
    """
    seeds, settings = row.shape[:2]
    parts = torch.split(row, [value[0, 0].numel() for value in like.values()], dim=-1)
    return {
        name: part.reshape(seeds, settings, *value.shape[2:])
        for (name, value), part in zip(like.items(), parts, strict=True)
    }
