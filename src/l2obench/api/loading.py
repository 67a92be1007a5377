"""Optimizers of l2obench in a training loop of one's own."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.bench.config.registry import optimizer_registry

if TYPE_CHECKING:
    from torch import Tensor

    from l2obench.optimizers.bridged.torch_optim import DropIn


def load(name: str, params: "Iterable[Tensor] | Iterable[dict[str, Any]]", **hyperparameters: Any) -> "DropIn":
    """Make an optimizer of l2obench that trains a model of yours.

    Args:
        name: what `-o` takes on the command line: `"adam"`, `"lstm[checkpoint=mnist]"`, or the name of a shipped
            checkpoint, such as `"general"`.
        params: parameters or dicts of parameter groups, as `torch.optim` takes them.
        hyperparameters: fields of the optimizer that `name` does not give; the rest keep their defaults.

    Returns:
        A `torch.optim.Optimizer` with parameter groups, schedulers and `state_dict`.

    Raises:
        IdentityError: `name` cannot be read, or a hyperparameter is given twice.
        UnknownName: no optimizer or checkpoint has this name.
        BadParameters: the optimizer does not take these hyperparameters.
        ValueError: a learned optimizer was named without a checkpoint.
        TypeError: the optimizer needs all parameters of a model at once, and so can't be a `torch.optim.Optimizer`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = load("lstm[checkpoint=mnist]", model.parameters(), lr=0.5)
        >>> model(torch.ones(4, 2)).square().mean().backward()
        >>> optimizer.step()
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string such as 'adam' or 'lstm[checkpoint=mnist]', got {name!r}")
    if twice := sorted(parse_identity(name)[1].keys() & hyperparameters.keys()):
        raise IdentityError(
            f"{name!r} gives {twice[0]}, and so does {twice[0]}={hyperparameters[twice[0]]!r}; give one"
        )
    rule = optimizer_registry().create(name, hyperparameters)

    from l2obench.optimizers.bridged.torch_optim import Bridged, DropIn
    from l2obench.optimizers.learned.base import LearnedOptimizer

    if isinstance(rule, Bridged):
        raise TypeError(f"{name!r} is a torch optimizer already. Try: {parse_identity(name)[0]}(params, …)")
    if isinstance(rule, LearnedOptimizer):
        rule.require_trained()
    return DropIn(params, rule)
