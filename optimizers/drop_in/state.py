"""The state of a drop-in optimizer: whose it is, and how it is parted among the parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from l2obench.optimizers.base import State
from l2obench.optimizers.drop_in.groups import STAMP

# In the shared part, in place of a dict with an entry for each tensor.
OF_EACH_TENSOR = "of each tensor"
SHARED = "shared"


def require_fitting(own: str, groups: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    """Refuse a state of another rule, other meta-parameters or other shapes.

    Args:
        own: the identity of the rule that is to take the state.
        groups: of that drop-in.
        given: what `state_dict` gave.

    Raises:
        ValueError: it does not fit; the message says what it is for.
    """
    for group, saved in zip(groups, given.get("param_groups", []), strict=False):
        stamp = saved.get(STAMP)
        if not isinstance(stamp, dict) or "rule" not in stamp:
            raise ValueError(f"this is no state of an optimizer of l2obench, and this optimizer is {own}")
        if stamp["rule"] != own:
            raise ValueError(f"this state belongs to {stamp['rule']}, and this optimizer is {own}")
        shapes = [list(param.shape) for param in group["params"]]
        if stamp.get("shapes", shapes) != shapes:
            raise ValueError(f"this state is for parameters of shapes {stamp['shapes']}, and these have {shapes}")


def on_device(value: Any, device: torch.device) -> Any:
    """A nested state with its tensors on a device, in their own types.

    Args:
        value: nested dicts, lists and tuples.
        device: of the parameter that the state belongs to.
    """
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(part, device) for key, part in value.items()}
    return type(value)(on_device(part, device) for part in value) if isinstance(value, list | tuple) else value


def split_tensors(state: State, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each tensor its part of the state of a rule that looks at all of them; the rest goes to the first one.

    Args:
        state: nested dicts; those whose keys are `names` are parted.
        names: of the tensors.

    Returns:
        By name, for `torch.optim.Optimizer.state`. Each part holds its name, so that none is empty.

    Example:
        >>> split_tensors({"step": 1, "of": {"w": 2, "b": 3}}, ["w", "b"])
        {'w': {'name': 'w', 'of': 2, 'shared': {'step': 1, 'of': 'of each tensor'}}, 'b': {'name': 'b', 'of': 3}}
    """
    parts: dict[str, dict[str, Any]] = {name: {"name": name} for name in names}
    shared = _without_parts(state, parts, "")
    parts[names[0]][SHARED] = shared
    return parts


def join_tensors(parts: Mapping[str, Mapping[str, Any]]) -> State:
    """Join the state that `split_tensors` took apart.

    Args:
        parts: by the name of the parameter.

    Example:
        >>> join_tensors(split_tensors({"step": 1, "of": {"w": 2, "b": 3}}, ["w", "b"]))
        {'step': 1, 'of': {'w': 2, 'b': 3}}
    """
    shared = next(iter(parts.values()))[SHARED]
    joined: State = _with_parts(shared, parts, "")
    return joined


def _without_parts(value: Any, parts: dict[str, dict[str, Any]], path: str) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == parts.keys():
        for name, own in value.items():
            parts[name][path] = own
        return OF_EACH_TENSOR
    return {key: _without_parts(part, parts, f"{path}.{key}" if path else str(key)) for key, part in value.items()}


def _with_parts(value: Any, parts: Mapping[str, Mapping[str, Any]], path: str) -> Any:
    if isinstance(value, str) and value == OF_EACH_TENSOR:
        return {name: own[path] for name, own in parts.items()}
    if not isinstance(value, dict):
        return value
    return {key: _with_parts(part, parts, f"{path}.{key}" if path else str(key)) for key, part in value.items()}
