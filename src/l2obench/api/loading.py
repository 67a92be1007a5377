"""Optimizers of l2obench in a training loop of one's own."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.bench.config.registry import optimizer_registry

if TYPE_CHECKING:
    import torch

OF_GROUPS = ("weight_decay", "maximize", "betas")
"""What parameter groups have, whether the optimizer has fields of these names or not."""


def load(
    name: str, params: Iterable[Any], *, num_steps: int | None = None, fused: bool | None = None, **values: Any
) -> "torch.optim.Optimizer":
    """Make an optimizer of l2obench that trains a model of yours.

    Args:
        name: what `-o` takes on the command line: `"adam"`, `"lstm[checkpoint=mnist]"`, or the name of a shipped
            checkpoint, such as `"general"`.
        params: parameters, `model.named_parameters()`, or dicts of parameter groups, as `torch.optim` takes them.
        num_steps: how many steps training will take. Optimizers that use the horizon need it, others ignore it.
        fused: whether a learned rule that has a compiled step for CPUs, such as `lstm` or `velo`, uses it: two to
            twenty times faster, with numbers equal up to rounding. None: where numba is installed. The first step of
            a machine compiles it.
        values: fields of the optimizer that `name` does not give; the rest keep their defaults. For every optimizer
            also `weight_decay` (decoupled), `maximize`, an `lr` of 0 or a tensor, and `betas` for `beta1` and `beta2`.

    Returns:
        A `torch.optim.Optimizer` with parameter groups, schedulers and `state_dict`. Its `step` takes a closure or
        `loss=`; optimizers that use losses need one of them. A bridged optimizer, such as `soap`, is that of its
        library.

    Raises:
        IdentityError: `name` cannot be read, or a hyperparameter is given twice.
        UnknownName: no optimizer or checkpoint has this name.
        BadParameters: the optimizer does not take these hyperparameters.
        ValueError: a learned optimizer was named without a checkpoint, `num_steps` is missing, or a group has a value
            that the optimizer does not take; or `fused` is True, and the optimizer has no such step, or there is no
            numba.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = load("lstm[checkpoint=mnist]", model.parameters(), lr=0.5)
        >>> model(torch.ones(4, 2)).square().mean().backward()
        >>> optimizer.step()
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string such as 'adam' or 'lstm[checkpoint=mnist]', got {name!r}")
    if twice := sorted(parse_identity(name)[1].keys() & values.keys()):
        raise IdentityError(f"{name!r} gives {twice[0]}, and so does {twice[0]}={values[twice[0]]!r}; give one")
    import torch

    # A rate of a benchmark is a number above 0. Of a training loop it may also be 0, or a tensor that changes.
    outside = {key: value for key, value in values.items() if key == "lr" and (torch.is_tensor(value) or value == 0)}
    if asked := {key: values[key] for key in OF_GROUPS if key in values}:
        fields = type(optimizer_registry().create(name)).model_fields
        outside |= {key: value for key, value in asked.items() if key not in fields}
    rule = optimizer_registry().create(name, {key: value for key, value in values.items() if key not in outside})

    from l2obench.optimizers.bridged.torch_optim import Bridged, TorchOptimizer
    from l2obench.optimizers.drop_in.optimizer import DropIn
    from l2obench.optimizers.drop_in.torch_optimizers import make_torch_optimizer
    from l2obench.optimizers.learned.base import LearnedOptimizer
    from l2obench.optimizers.learned.fused.rule import can_have_fused_step
    from l2obench.optimizers.learned.fused.rule import fused as with_fused_step
    from l2obench.optimizers.learned.fused.step import numba_is_installed

    if isinstance(rule, Bridged):
        raise TypeError(f"{name!r} is a torch optimizer already. Try: {parse_identity(name)[0]}(params, …)")
    if fused and not can_have_fused_step(rule):
        raise ValueError(f"fused must be None or False for {rule.name}, which has no compiled step, got True")
    if isinstance(rule, TorchOptimizer):
        return make_torch_optimizer(rule, params, num_steps=num_steps, **outside)
    if isinstance(rule, LearnedOptimizer):
        rule.require_trained()
    if fused or (fused is None and numba_is_installed()):
        rule = with_fused_step(rule)
    return DropIn(params, rule, num_steps=num_steps, **outside)
