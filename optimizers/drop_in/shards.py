"""Parameters that FSDP2 keeps in shards: a coordinatewise rule steps each shard, any other rule meets whole tensors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Tensors that live on one device whole."""


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a `DTensor`.

    Args:
        tensor: a parameter or its gradient.
    """
    if type(tensor) in PLAIN:
        return False
    # Imported here: it takes long, and who has such a tensor has imported it.
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def shard_of(value: Any) -> Any:
    """This process's shards of the tensors in a nested state; what is no shard stays.

    Args:
        value: nested dicts, lists and tuples; a tensor.
    """
    return _mapped(value, lambda tensor: tensor.to_local() if is_sharded(tensor) else tensor)  # type: ignore[attr-defined]


def whole_of(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered from the processes that have its shards.

    Args:
        tensor: a `DTensor`, or a plain one, which stays.
    """
    whole: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return whole


def sharded_like(param: Tensor, whole: Tensor) -> Tensor:
    """A tensor that every process has whole, in shards as a parameter is.

    Args:
        param: a `DTensor`, or a plain one.
        whole: of its shape; it stays as it is beside a plain parameter.
    """
    if not is_sharded(param):
        return whole
    from torch.distributed.tensor import distribute_tensor

    # Every process has the same values, so that none is to be sent.
    return distribute_tensor(whole, param.device_mesh, param.placements, src_data_rank=None)  # type: ignore[attr-defined]


def sharded_state(param: Tensor, state: Any) -> Any:
    """The state of this process's shard as parts of the state of the whole parameter, so that checkpoints know them.

    Args:
        param: a `DTensor`.
        state: of its shard; the last dimensions of each tensor are the parameter's.
    """
    from torch.distributed.tensor import DTensor, Shard

    def share(tensor: Tensor) -> Tensor:
        before = tensor.ndim - param.ndim
        placements = [
            Shard(place.dim + before) if isinstance(place, Shard) else place
            for place in param.placements  # type: ignore[attr-defined]
        ]
        shape = torch.Size([*tensor.shape[:before], *param.shape])
        strides = torch.empty(shape, device="meta").stride()
        mesh = param.device_mesh  # type: ignore[attr-defined]
        shared: Tensor = DTensor.from_local(
            tensor.contiguous(), mesh, placements, run_check=False, shape=shape, stride=strides
        )
        return shared

    return _mapped(state, share)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A nested state with its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    return type(value)(_mapped(part, change) for part in value) if isinstance(value, list | tuple) else value
