"""A step of a coordinatewise rule on the tensors of a group, each by itself; and what moves a parameter."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.drop_in.groups import hyperparameters
from l2obench.optimizers.drop_in.in_place import MOVES, can_move, move_in_place
from l2obench.optimizers.drop_in.shards import is_sharded, shard_of, sharded_state

# One tensor of a model is one replica of the rule: a seed and a setting.
REPLICA = (0, 0)


def step_tensors(
    rule: CoordinatewiseOptimizer, group: dict[str, Any], states: MutableMapping[Tensor, dict[str, Any]]
) -> None:
    """Step all parameters of a group that have a gradient.

    Args:
        rule: any whose tensors do not meet; the group has its hyperparameters.
        group: of the drop-in optimizer.
        states: the rule's state of each parameter; written.
    """
    at_once, one_by_one = [], []
    for param in group["params"]:
        if param.grad is None or not param.numel():
            continue
        state = states.get(param)
        if state is None and type(rule) in MOVES and not is_sharded(param):
            state = states[param] = rule.init_tensor(as_replica(param, wide_type(param)))
        if state is not None and type(rule) in MOVES and can_move(param, param.grad, state):
            at_once.append((param, state))
        else:
            one_by_one.append(param)
    if at_once:
        move_in_place(rule, at_once, group)
    if one_by_one:
        rule = rule.model_copy(update=hyperparameters(rule, group))
    for param in one_by_one:
        states[param] = _step_tensor(rule, param, states.get(param), group)


def move(rule: Optimizer, param: Tensor, update: Tensor, group: Mapping[str, Any]) -> None:
    """θ ← θ − lr λ θ + u, with λ of the group where the rule has none of its own.

    Args:
        rule: the update's.
        param: θ; written.
        update: u, of its shape.
        group: the parameter's.
    """
    if group["weight_decay"] and "weight_decay" not in type(rule).model_fields:
        param.mul_(1 - group["lr"] * group["weight_decay"])
    param.add_(update)


def as_replica(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A plain tensor as `[1, 1, ...]`, the shape that rules have replicas in.

    Args:
        tensor: of a model.
        dtype: of the rule's arithmetic.
    """
    return tensor.detach().to(dtype)[None, None]


def wide_type(*tensors: Tensor) -> torch.dtype:
    """The type of a rule's arithmetic for tensors: float32 at least.

    Args:
        tensors: of a model.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _step_tensor(
    rule: CoordinatewiseOptimizer, param: Tensor, state: dict[str, Any] | None, group: dict[str, Any]
) -> dict[str, Any]:
    """Move one parameter, or this process's shard of it; its next state."""
    own = rule.of_kind(rule.kind_by_shape(param))
    shard: Tensor = shard_of(param)
    theta = as_replica(shard, wide_type(shard))
    state = shard_of(state) or own.init_tensor(theta)
    if not shard.numel():
        state = _counted(own, theta, state)
    else:
        grad = as_replica(shard_of(param.grad), theta.dtype)
        update, state = own.update_tensor(-grad if group["maximize"] else grad, state, theta)
        move(rule, shard, update[REPLICA], group)
    kept: dict[str, Any] = sharded_state(param, state) if is_sharded(param) else state
    return kept


def _counted(rule: CoordinatewiseOptimizer, theta: Tensor, state: dict[str, Any]) -> dict[str, Any]:
    """The next state of a shard without rows, which a process has of a small parameter: only its counts change.

    They must, for checkpoints keep the counts of any one process. Rules need not take empty tensors, so this asks what
    one row would give.
    """
    row = theta.new_zeros([max(size, 1) for size in theta.shape])
    _, after = rule.update_tensor(torch.zeros_like(row), {**rule.init_tensor(row), **_counts(state)}, row)
    return {**state, **_counts(after)}


def _counts(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if isinstance(value, int | float)}
