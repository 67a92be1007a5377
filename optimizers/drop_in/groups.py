"""Parameter groups: which values of a rule they have, which they take, and which groups make one model."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from l2obench.foundation.names import did_you_mean
from l2obench.optimizers.base import Optimizer

STAMP = "l2obench"
"""Where a group says which rule it belongs to, and which model, after how many steps."""
OF_SCHEDULERS = ("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum")
"""What schedulers of torch write into groups."""
NOT_OF_THE_RULE = ("params", "param_names", STAMP, *OF_SCHEDULERS)
BETAS = ("beta1", "beta2")
"""Fields of a rule that are `betas` in a group: schedulers of torch look for that name."""


def group_values(rule: Optimizer) -> dict[str, Any]:
    """What every group has: the rule's hyperparameters, without those that make a learned rule what it is.

    Args:
        rule: any rule.

    Example:
        >>> from l2obench.optimizers.designed.adam import Adam
        >>> group_values(Adam(lr=0.1))
        {'lr': 0.1, 'weight_decay': 0.0, 'epsilon': 1e-08, 'betas': (0.9, 0.999), 'maximize': False}
    """
    fixed = {"checkpoint", "networks", "conv", "fc", *getattr(rule, "architecture", ())}
    values = {name: getattr(rule, name) for name in type(rule).model_fields if name not in fixed}
    if values.keys() >= {*BETAS}:
        values["betas"] = tuple(values.pop(name) for name in BETAS)
    return {"lr": 1.0, "weight_decay": 0.0, **values, "maximize": False}


def hyperparameters(rule: Optimizer, group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's values by the names of the rule's fields.

    Args:
        rule: any rule.
        group: of the drop-in optimizer.
    """
    values = {name: group[name] for name in type(rule).model_fields if name in group}
    return values | (dict(zip(BETAS, group["betas"], strict=True)) if "betas" in group else {})


def identity_of(rule: Optimizer) -> str:
    """What a state says of its rule: name, version and, of a learned one, the hash of its meta-parameters.

    Args:
        rule: any rule.

    Example:
        >>> from l2obench.optimizers.designed.adam import Adam
        >>> identity_of(Adam(lr=0.1))
        'adam 1'
    """
    text = f"{rule.name} {rule.version}"
    if rule.meta_parameters:
        digest = hashlib.sha256()
        for name, tensor in sorted(rule.meta_parameters.items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        text = f"{text} with meta-parameters {digest.hexdigest()[:16]}"
    return text


def new_stamp(identity: str) -> dict[str, Any]:
    """What a new group says of itself: its rule, the steps it has taken, its model, and the steps before it joined.

    Args:
        identity: of the rule, from `identity_of`.
    """
    return {"rule": identity, "steps": 0, "model": None, "late": 0}


def models_of_groups(rule: Optimizer, groups: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Groups by the model that they belong to, for a rule that looks at all tensors of a model.

    New groups are gathered by the hyperparameters that they share, and remember it.

    Args:
        rule: its `lr_scales_update` says whether rates may differ within a model.
        groups: all of an optimizer.

    Raises:
        ValueError: groups of one model no longer share what they began with.
    """
    new = [group for group in groups if group[STAMP]["model"] is None]
    taken = max((group[STAMP]["steps"] for group in groups), default=0)
    models: dict[int, list[dict[str, Any]]] = {}
    for group in groups:
        if group[STAMP]["model"] is not None:
            models.setdefault(group[STAMP]["model"], []).append(group)
    first_new = len(models)
    for group in new:
        young = (index for index in models if index >= first_new and _share_a_model(rule, models[index][0], group))
        index = next(young, len(models))
        group[STAMP].update(model=index, late=taken)
        models.setdefault(index, []).append(group)
    for members in models.values():
        if not all(_share_a_model(rule, members[0], group) for group in members):
            raise ValueError(
                f"groups of {rule.name} that began with the same hyperparameters must keep them the same, except lr, "
                "weight_decay and maximize: the rule looks at all their tensors at once"
            )
    return list(models.values())


def check_values(rule: Optimizer, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a group, each of a kind that the rule takes.

    Args:
        rule: any rule.
        given: by name. An `lr` may be 0, or a tensor, beyond what the rule takes in a benchmark.

    Raises:
        ValueError: the rule has no such hyperparameter, or does not take the value.
    """
    if not given:
        return {}
    known = group_values(rule)
    if unknown := next((name for name in given if name not in known), None):
        raise ValueError(f"{rule.name} has no {unknown}.{did_you_mean(unknown, known)} It has: {', '.join(known)}")
    return {name: _checked(rule, name, value) for name, value in given.items()}


def _checked(rule: Optimizer, name: str, value: Any) -> Any:
    """One value."""
    if name == "betas" and "betas" not in type(rule).model_fields:
        if not isinstance(value, tuple | list) or len(value) != len(BETAS):
            raise ValueError(f"betas of {rule.name} must be two numbers, got {value!r}")
        return tuple(_checked(rule, beta, own) for beta, own in zip(BETAS, value, strict=True))
    if name == "lr" and (isinstance(value, Tensor) or value == 0):
        return value
    kind: Any = {"maximize": bool, "weight_decay": float, "lr": float}.get(name)
    if field := type(rule).model_fields.get(name):
        kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        found = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{name} of {rule.name}: {error.errors()[0]['msg']}, got {value!r}") from None
    if isinstance(found, float) and (not math.isfinite(found) or (name == "weight_decay" and found < 0)):
        raise ValueError(f"{name} of {rule.name} must be a finite number, and no decay below 0, got {value!r}")
    return found


def _share_a_model(rule: Optimizer, first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether a rule that looks at all tensors can look at those of both groups at once."""
    free = {"lr", "weight_decay"} if rule.lr_scales_update else {"weight_decay"}
    own, other = hyperparameters(rule, first), hyperparameters(rule, second)
    return all(value == other[name] for name, value in own.items() if name not in free)
