"""From what a user hands in, an identity, a class or an object, to the identity that results carry."""

import difflib
from collections.abc import Sequence
from typing import Any

from l2obench.bench.config.identity import changed_parameters, format_identity
from l2obench.bench.config.registry import BadParameters, Registry, optimizer_registry, task_registry
from l2obench.foundation.errors import describe_error


class BadArgument(TypeError):
    """An argument of the Python API that is of the wrong kind."""

    exit_code = 2


def to_identities(argument: str, given: Any, registry: Registry) -> list[str]:
    """The identities of what a user hands in, each checked by making it.

    Args:
        argument: the name of the argument, for the message.
        given: identities, classes and objects in a list, or one of them by itself.
        registry: of tasks or of optimizers.

    Raises:
        BadArgument: something else was given.
        IdentityError, UnknownName, BadParameters: a name or a parameter is wrong.
    """
    if isinstance(given, str | type) or not isinstance(given, Sequence):
        given = [given]
    if not given:
        raise BadArgument(
            f"{argument} must name one {registry.kind} at least, got an empty list. Try: {_example(registry)}"
        )
    return [_to_identity(argument, item, registry) for item in given]


def task_identities(given: Any) -> list[str]:
    """`to_identities` of tasks.

    Args:
        given: an identity, a class, an object, or several of them.

    Example:
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> task_identities(["quadratic", Quadratic, Quadratic(horizon=10)])
        ['quadratic', 'quadratic', 'quadratic[horizon=10]']
    """
    return to_identities("tasks", given, task_registry())


def optimizer_identities(given: Any) -> list[str]:
    """`to_identities` of optimizers.

    Args:
        given: an identity, a class, an object, or several of them.

    Example:
        >>> import torch
        >>> optimizer_identities(["adam[lr=0.1]", torch.optim.Rprop])
        ['adam[lr=0.1]', 'torch.optim.Rprop']
    """
    return to_identities("optimizers", given, optimizer_registry())


def require_known(argument: str, given: str, known: Sequence[str]) -> None:
    """Refuse a word that is none of the known ones, and name the nearest.

    Args:
        argument: the name of the argument, for the message.
        given: the word.
        known: at least one.

    Raises:
        BadArgument: it is not.
    """
    if given not in known:
        nearest = difflib.get_close_matches(str(given), known, n=1, cutoff=0.0)
        raise BadArgument(f"{argument} must be one of {', '.join(known)}, got {given!r}. Try: {nearest[0]!r}")


def _to_identity(argument: str, given: Any, registry: Registry) -> str:
    if isinstance(given, str):
        registry.create(given)
        return given
    if isinstance(given, type):
        identity = registry.name_class(given)
        registry.create(identity)
        return identity
    if not hasattr(type(given), "model_fields") or not hasattr(given, "version"):
        raise BadArgument(_wrong_kind(argument, given, registry))
    name = given.name if _leads_back(given, registry) else registry.name_class(type(given))
    identity = format_identity(name, changed_parameters(given))
    _require_equal(given, registry.create(identity), identity)
    return identity


def _leads_back(given: Any, registry: Registry) -> bool:
    """Whether the name of an object finds its class, as that of one of ours or of one that `create` made does."""
    try:
        return isinstance(given, registry.resolve(given.name))
    except ValueError:
        return False


def _require_equal(given: Any, made: Any, identity: str) -> None:
    """Refuse an object that its identity does not describe in full: results could not say what ran."""
    try:
        same = changed_parameters(given) == changed_parameters(made) and _same_tensors(given, made)
    except Exception as error:
        raise BadParameters(f"{identity} cannot be compared with what it names: {describe_error(error)}") from error
    if not same:
        raise BadParameters(
            f"{identity} must say all of the object that was given, and does not: it holds more than its parameters. "
            "Try: for trained meta-parameters, a checkpoint, 'NAME[checkpoint=FILE.safetensors]'"
        )


def _same_tensors(given: Any, made: Any) -> bool:
    import torch

    ours, theirs = getattr(given, "meta_parameters", {}), getattr(made, "meta_parameters", {})
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def _wrong_kind(argument: str, given: Any, registry: Registry) -> str:
    kind = type(given)
    near = f"the class, {kind.__name__}" if kind.__module__.startswith("torch.optim") else _example(registry)
    return (
        f"{argument} must hold identities, classes or objects of {registry.kind}s, "
        f"got an object of {kind.__module__}.{kind.__qualname__}. Try: {near}"
    )


def _example(registry: Registry) -> str:
    return "['quadratic', 'mnist-mlp[units=40]']" if registry.kind == "task" else "['adam', 'lstm[checkpoint=mnist]']"
