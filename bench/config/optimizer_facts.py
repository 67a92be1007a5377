"""What an optimizer uses, by which optimizers are compared in classes: only gradients, curvature, losses, the horizon.

Names in results are data. Only registered optimizers, ours and installed plugins', are asked; a dotted path, which
would import whatever a results file says, never is.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers import rule_of_checkpoint, shipped_checkpoints

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer

ORDER = ("curvature", "loss", "horizon")
SCHEDULE = ("schedule", "warmup")
"""Parameters by which an optimizer knows the horizon."""


def describe_class(uses: "tuple[str, ...] | list[str]") -> str:
    """Name the class of an optimizer: what it looks at, in one order.

    Args:
        uses: beyond gradients.

    Example:
        >>> describe_class(["horizon", "loss"])
        'gradients, loss, horizon'
    """
    return ", ".join(["gradients", *(use for use in ORDER if use in uses)])


def class_of(optimizer: "Optimizer") -> str:
    """Give the class of an optimizer.

    Args:
        optimizer: the rule.

    Example:
        >>> class_of(optimizer_registry().create("adam[schedule=cosine]"))
        'gradients, horizon'
    """
    return describe_class(optimizer.uses)


def sees_no_more(other: str | None, own: str | None) -> bool:
    """Say whether one optimizer uses nothing that another does not; so too where a class is not known.

    Args:
        other: the class of one, as `describe_class` names it.
        own: the class of the other.

    Example:
        >>> sees_no_more("gradients", "gradients, horizon"), sees_no_more("gradients, curvature", "gradients")
        (True, False)
    """
    if not isinstance(other, str) or not isinstance(own, str):
        return True
    return {*other.split(", ")} <= {*own.split(", ")}


def recorded_class(identity: str, manifest: Mapping[str, Any]) -> str | None:
    """Give the class of an optimizer in results, as the manifest records it, or as the registered optimizer states it.

    Args:
        identity: of the optimizer.
        manifest: of the run; it may hold anything.

    Returns:
        The class; None where nobody knows it.
    """
    classes = manifest.get("classes")
    found = classes.get(identity) if isinstance(classes, Mapping) else None
    return found if isinstance(found, str) else _registered_class(identity)


@lru_cache(maxsize=4096)
def _registered_class(identity: str) -> str | None:
    try:
        name, parameters = parse_identity(identity)
        registry = optimizer_registry()
        if name not in registry.entries and name in shipped_checkpoints():
            name = rule_of_checkpoint(name)
        if name not in registry.entries:
            return None
        cls = registry.resolve(name)
    # A plugin's module may raise anything; its class is then not known.
    except (IdentityError, ValueError, ImportError):
        return None
    uses = list(getattr(cls, "uses", ()))
    scheduled = any(parameters.get(key) not in (None, "constant", 0, 0.0) for key in SCHEDULE)
    return describe_class([*uses, "horizon"] if scheduled else uses)
