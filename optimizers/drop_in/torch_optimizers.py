"""Bridged rules in a training loop: the torch optimizer that such a rule is made of, with groups of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.drop_in.groups import BETAS, check_values
from l2obench.optimizers.drop_in.library_step import Plan, adapt_step
from l2obench.optimizers.scheduled import FIELDS, Scheduled

OF_ALL = ("weight_decay", "maximize")
"""What every optimizer can do, whether its library has it or not."""
COUPLING = "decoupled_weight_decay"


def make_torch_optimizer(
    rule: TorchOptimizer, params: Iterable[Any], *, num_steps: int | None = None, **defaults: Any
) -> torch.optim.Optimizer:
    """The torch optimizer of a bridged rule, for parameters of a model.

    Args:
        rule: what it is made of.
        params: parameters, `named_parameters()`, or dicts of groups, as `torch.optim` takes them. Groups may give
            values of the rule by the names of its fields.
        num_steps: how many steps training will take, for a rule with a schedule.
        defaults: values for groups that do not give their own.

    Raises:
        ValueError: there are no parameters, a group has a key that the rule lacks or a value that it does not take, or
            the optimizer knows one group only; or the rule has a schedule and `num_steps` is missing.

    Example:
        >>> from l2obench.optimizers.bridged.nadam import NAdam
        >>> theta = torch.nn.Parameter(torch.ones(3))
        >>> type(make_torch_optimizer(NAdam(), [theta], lr=0.5))
        <class 'torch.optim.nadam.NAdam'>
    """
    given = list(params)
    groups = given if given and isinstance(given[0], Mapping) else [{"params": given}]
    made = [_of_group(rule, {**defaults, **group}) for group in groups]
    parts, ours = [part for part, _ in made], made[0][1]
    if len(parts) > 1 and isinstance(parts[0], torch.optim.LBFGS):
        raise ValueError(f"{rule.name} takes one group of parameters, got {len(parts)}")
    whole, *others = parts
    for part in others:
        for group in part.param_groups:
            whole.add_param_group(group)
    plan = None
    if isinstance(rule, Scheduled):
        if num_steps is None:
            raise ValueError(f"{rule.name} with a schedule must know its steps, got none. Try: num_steps=10_000")
        plan = Plan(rule.schedule, rule.warmup, rule.cooldown, num_steps)
    adapt_step(whole, plan, ours)
    return whole


def _of_group(rule: TorchOptimizer, group: Mapping[str, Any]) -> tuple[torch.optim.Optimizer, frozenset[str]]:
    """The torch optimizer of one group, and what of `OF_ALL` its library does not do."""
    values = {name: value for name, value in group.items() if name != "params"}
    known = {*type(rule).model_fields} - {*FIELDS}
    known |= {"betas"} if known >= {*BETAS} else set()
    if unknown := sorted(values.keys() - known - {*OF_ALL}):
        raise ValueError(f"{rule.name} has no {unknown[0]}. It has: {', '.join(sorted(known | {*OF_ALL}))}")
    checked = check_values(rule, values)
    if betas := checked.pop("betas", None):
        checked |= dict(zip(BETAS, betas, strict=True))
    outside = {name: checked.pop(name) for name in OF_ALL if name in checked and name not in type(rule).model_fields}
    given = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
    if not given:
        raise ValueError(f"{rule.name} has no parameters to train, got an empty list")
    named = [pair if isinstance(pair, tuple) else (str(place), pair) for place, pair in enumerate(given)]
    made = rule.model_copy(update=checked).make(dict(named))
    natively = made.param_groups[0].keys() if type(made).__module__.startswith("torch.optim") else ()
    ours = frozenset(name for name in OF_ALL if name not in type(rule).model_fields and name not in natively)
    for part in made.param_groups:
        part |= outside
        # torch.optim adds decay to the gradient unless this says otherwise.
        part |= {COUPLING: True} if COUPLING in part and "weight_decay" in outside else {}
    return made, ours
