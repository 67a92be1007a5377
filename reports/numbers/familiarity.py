"""What a task is to a learned optimizer: one that it was trained on, another of the same kind, or held out."""

from collections.abc import Mapping, Sequence
from typing import Any

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.reports.cells.table import CellRows
from l2obench.reports.numbers.counting import recipe_of

TRAINED, KIN, OTHERS = "trained on", "others of their kind", "held out"


def training_families(rows: CellRows, manifest: Mapping[str, Any]) -> list[str]:
    """Identities of the families that an optimizer was trained on; none where its run does not say.

    Args:
        rows: one learned optimizer's rows.
        manifest: that of their run, with the recipe of every checkpoint by its SHA-256.
    """
    recipe = recipe_of(rows, manifest) or {}
    return [str(name) for name in recipe.get("mixture") or [recipe.get("task")] if name]


def familiarity(task: str, families: Sequence[str]) -> str:
    """`trained on`, `others of their kind` (the same name, other parameters) or `held out`.

    Args:
        task: identity of the tested task.
        families: identities of the families trained on, as `training_families` gives them.

    Example:
        >>> familiarity("quadratic[dim=20]", ["quadratic"])
        'others of their kind'
    """
    if task in families:
        return TRAINED
    return KIN if name_family(task) in map(name_family, families) else OTHERS


def name_family(identity: str) -> str:
    """Give an identity without its parameters. Text that is no identity stays as it is.

    Args:
        identity: of a task.
    """
    try:
        return parse_identity(identity)[0]
    except IdentityError:
        return identity
