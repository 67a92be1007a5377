"""A minibatch as the user has it (tensors in tuples, lists, dicts) and as the engine has it: a flat dict of tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, keystr, tree_flatten_with_path, tree_unflatten

from l2obench.tasks.base import Tensors

PREFIX = "batch"


class BadModule(ValueError):
    """A `ModuleTask` that lacks something, or gives something else than what is asked."""

    exit_code = 2


@dataclass(frozen=True)
class Structure:
    """How the tensors of a minibatch are nested."""

    spec: TreeSpec
    names: tuple[str, ...]

    def nested(self, tensors: Tensors) -> Any:
        """The minibatch as the user gave it.

        Args:
            tensors: its tensors by name, as `flatten` names them; others are ignored.
        """
        return tree_unflatten([tensors[name] for name in self.names], self.spec)


def flatten(batch: Any, what: str) -> tuple[Tensors, Structure]:
    """The tensors of a minibatch by their place, `batch[0]`, `batch['mask']`, and how they are nested.

    Args:
        batch: tensors, NumPy arrays and numbers, nested in tuples, lists and mappings.
        what: whose it is, for the error.

    Raises:
        BadModule: it holds something else, or nothing.

    Example:
        >>> tensors, structure = flatten((torch.ones(2, 3), {"mask": torch.zeros(2)}), "Mine.training_data")
        >>> list(tensors)
        ['batch[0]', "batch[1]['mask']"]
    """
    leaves, spec = tree_flatten_with_path(_plain(batch))
    tensors = {PREFIX + keystr(path): _tensor(leaf, what, PREFIX + keystr(path)) for path, leaf in leaves}
    if not tensors:
        raise BadModule(f"{what} must hold tensors, got none. Try: return x, y")
    return tensors, Structure(spec, tuple(tensors))


def examples(tensors: Tensors) -> int:
    """Examples in a minibatch: the length of its first tensor that has one.

    Args:
        tensors: from `flatten`.

    Example:
        >>> examples({"batch[0]": torch.ones(32, 784), "batch[1]": torch.zeros(32)})
        32
    """
    return next((len(value) for value in tensors.values() if value.ndim), 1)


def _plain(batch: Any) -> Any:
    """The same with every mapping as a dict: those of other libraries are no tree to PyTorch."""
    if isinstance(batch, Mapping):
        return {key: _plain(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(_plain, batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map(_plain, batch))
    return batch


def _tensor(leaf: Any, what: str, name: str) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf.detach()
    if isinstance(leaf, bool | int | float):
        return torch.tensor(leaf)
    if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "biuf":
        return torch.as_tensor(np.ascontiguousarray(leaf))
    raise BadModule(
        f"{what} must hold tensors, arrays and numbers, got {type(leaf).__name__} at {name}. "
        "Try: leave it out, or turn it into a tensor"
    )
