"""The tracks of a suite, and which optimizers are tuned: a learning rate that a user gives stays what it is."""

from typing import TYPE_CHECKING, Literal

from l2obench.bench.config.registry import identify

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Suite
    from l2obench.optimizers.base import Optimizer

Track = Literal["default", "tuned"]


def tunes(optimizer: "Optimizer") -> bool:
    """Say whether the track `tuned` may choose a hyperparameter of an optimizer.

    Args:
        optimizer: as the registry made it: a field that was given is not tuned.

    Example:
        >>> from l2obench.bench.config.registry import optimizer_registry
        >>> [tunes(optimizer_registry().create(name)) for name in ("sgd", "adam[beta1=0.8]", "sgd[lr=0.1]", "lstm")]
        [True, True, False, False]
    """
    return any(name not in optimizer.model_fields_set for name in optimizer.tunable)


def list_given_rates(suite: "Suite") -> list[str]:
    """List the optimizers that run as `default` only, since their learning rate is given.

    Args:
        suite: with its parts.

    Returns:
        Their identities; none where the track `tuned` is not asked for.
    """
    names = [name for part in suite.parts for name in list_given_rates(part)]
    if "tuned" in suite.tracks:
        own = suite.model_copy(update={"parts": []})
        optimizers = [cell.optimizer for cell in own.cells()] if own.tasks else []
        names += [identify(rule) for rule in optimizers if rule.tunable and not tunes(rule)]
    return list(dict.fromkeys(names))
