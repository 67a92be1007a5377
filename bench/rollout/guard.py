"""Holds a plugin's task and optimizer to their contracts while they run, at the cost of a few comparisons a step.

Broadcasting would hide an update of another shape, a rule that writes into its gradients or parameters would change
what its neighbours see, and one that keeps its updates would find parameters there. Each gives an error, not a number.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from l2obench.bench.failures import ContractBroken
from l2obench.foundation.tensors import Tensors


class Unchanged:
    """Tensors that a task or an optimizer is given to read: remembered before the call, compared after it.

    Args:
        tensors: groups of tensors by what they are called in an error, such as `params`.
        thorough: compare the values too. Torch counts the writes to a tensor, which costs nothing to read, but misses
            those through `.data`.
    """

    def __init__(self, tensors: dict[str, Tensors], thorough: bool) -> None:
        # One flat list, since this runs twice a step: steps of small tasks take 40 µs.
        self._groups = tensors
        self._remembered = [
            (kind, name, tensor, tensor._version, tensor.clone() if thorough else None)
            for kind, group in tensors.items()
            for name, tensor in group.items()
        ]

    def require_unchanged(self, who: str) -> None:
        """Refuse what was written to or exchanged.

        Args:
            who: the method that was called, for the error.

        Raises:
            ContractBroken: it was.
        """
        groups = self._groups
        for kind, name, tensor, version, value in self._remembered:
            found = groups[kind].get(name)
            if found is None:
                raise ContractBroken(f"{who} added or removed entries of {kind}, which it may only read")
            if found is not tensor or found._version != version or (value is not None and not same(found, value)):
                raise ContractBroken(f"{who} changed {kind}[{name!r}], which it may only read")
        if sum(map(len, groups.values())) != len(self._remembered):
            kinds = " or ".join(groups)
            raise ContractBroken(f"{who} added or removed entries of {kinds}, which it may only read")


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, a value that is no number being the same as another such.

    Args:
        one: any tensor.
        other: any tensor; one of another shape or dtype is not the same.

    Example:
        >>> same(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]))
        True
    """
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def require_like(who: str, found: object, expected: Tensors) -> None:
    """Raise unless `found` is a dict of tensors with the names, shapes and kinds of number of `expected`.

    Args:
        who: the method that returned it, for the error.
        found: what was returned.
        expected: tensors with the right names, shapes and dtypes.

    Raises:
        ContractBroken: it is not.
    """
    if not isinstance(found, dict):
        raise ContractBroken(f"{who} returned {type(found).__name__}, expected a dict of tensors")
    if found.keys() != expected.keys():
        raise ContractBroken(f"{who} returned {_listed(found)}, expected {_listed(expected)}")
    for name, tensor in expected.items():
        # The words of an error are put together only where there is one.
        if not fits(found[name], tensor.shape, tensor.dtype):
            require_tensor(f"{who} returned {name!r}", found[name], tuple(tensor.shape), tensor.dtype)


def require_own(who: str, found: Tensors, kept: Iterable[Tensor]) -> None:
    """Raise if tensors that were returned are in memory of one another, or of what is kept.

    Args:
        who: the method that returned them, for the error.
        found: the tensors that were returned.
        kept: tensors that somebody else goes on using.

    Raises:
        ContractBroken: they are; the caller would write into both.
    """
    taken = {_memory(tensor) for tensor in kept}
    places = [tensor.data_ptr() for tensor in found.values()]
    for name, tensor in found.items():
        if tensor.numel() and (_memory(tensor) in taken or places.count(tensor.data_ptr()) > 1):
            raise ContractBroken(f"{who} returned {name!r} in memory that is kept elsewhere, expected a new tensor")


def require_tensor(what: str, found: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Raise unless `found` is a tensor of this shape and kind of number.

    Args:
        what: the first words of the error, such as `update returned 'w'`.
        found: what was returned.
        shape: the shape it must have.
        dtype: the dtype it must have.

    Raises:
        ContractBroken: it is not.
    """
    if fits(found, shape, dtype):
        return
    if not isinstance(found, Tensor):
        raise ContractBroken(f"{what} as {type(found).__name__}, expected a tensor")
    if found.shape != shape:
        raise ContractBroken(f"{what} with shape {tuple(found.shape)}, expected {shape}")
    raise ContractBroken(f"{what} as {found.dtype}, expected {dtype}")


def fits(found: object, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Whether this is a tensor of a shape and kind of number; where it is not, `require_tensor` says what it is.

    Args:
        found: what was returned.
        shape: the shape it must have.
        dtype: the dtype it must have.

    Example:
        >>> fits(torch.ones(2, 3), (2, 3), torch.float32), fits(1.0, (), torch.float32)
        (True, False)
    """
    return isinstance(found, Tensor) and found.shape == shape and found.dtype == dtype


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _listed(names: object) -> str:
    return ", ".join(sorted(map(repr, names))) or "nothing"  # type: ignore[call-overload]
