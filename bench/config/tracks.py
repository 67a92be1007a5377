"""The tracks of a suite, and which optimizers are tuned: what a user gives an optimizer stays what it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from l2obench.bench.config.budget import parse_budget, require_track, search_space
from l2obench.bench.config.registry import identify

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Suite
    from l2obench.optimizers.base import Optimizer

Track = Annotated[str, AfterValidator(require_track)]
WAYS = ("grid", "halving", "off")
"""How learning rates are tuned: on a whole grid, by successive halving of the grid, or not at all. A budget is the
fourth way."""


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


def tracks_of(optimizer: "Optimizer", tracks: Sequence[str]) -> list[str]:
    """List the tracks of a suite in which an optimizer runs: `default` where no other applies.

    Args:
        optimizer: as the registry made it.
        tracks: those of the suite.

    Example:
        >>> from l2obench.bench.config.registry import optimizer_registry
        >>> tracks_of(optimizer_registry().create("prodigy"), ["tuned", "budget=8"])
        ['budget=8']
        >>> tracks_of(optimizer_registry().create("lstm"), ["tuned", "budget=8"])
        ['default']
    """
    found = [track for track in tracks if track == "default" or _applies(optimizer, track)]
    return found or ["default"]


def _applies(optimizer: "Optimizer", track: str) -> bool:
    budget = parse_budget(track)
    return tunes(optimizer) if budget is None else bool(search_space(optimizer, budget.heldout))


def with_tuning(suite: "Suite", tune: str | None, tuning_seeds: int | None) -> "Suite":
    """A suite that tunes in another way, its parts as well.

    Args:
        suite: with its parts.
        tune: one of `WAYS`, or a track with a budget; None: as the suite says.
        tuning_seeds: functions on which every task is tuned; None: as the suite says.

    Example:
        >>> from l2obench.bench.config.suite import load_suite
        >>> {cell.track for cell in with_tuning(load_suite("quick"), "off", None).cells()}
        {'default'}
    """
    changes: dict[str, Any] = {"parts": [with_tuning(part, tune, tuning_seeds) for part in suite.parts]}
    of_tasks: dict[str, Any] = {}
    if tune is not None:
        way = [tune] if parse_budget(tune) else [] if tune == "off" else ["tuned"]
        changes["tracks"] = ["default", *way]
        of_tasks["halving"] = tune == "halving"
    if tuning_seeds is not None:
        of_tasks["tuning_seeds"] = tuning_seeds
    changes["tasks"] = [item.model_copy(update=of_tasks) for item in suite.tasks]
    return suite.model_copy(update=changes)


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
