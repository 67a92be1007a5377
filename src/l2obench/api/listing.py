"""What there is to run: the names that `run`, `train` and `load` take."""

import importlib.util

from l2obench import optimizers, tasks
from l2obench.bench.config.entries import Entries, optimizer_entries, task_entries
from l2obench.bench.config.shipped import description, recipe_names, suite_names


def list_tasks() -> dict[str, str]:
    """The task families, ours and those of installed plugins.

    Returns:
        A line about each family, by its name.

    Example:
        >>> list_tasks()["quadratic"]
        'random quadratics ‖Wθ − y‖²'
    """
    return _summaries(task_entries())


def list_optimizers() -> dict[str, str]:
    """The optimizers, hand-designed and learned, ours and those of installed plugins.

    Returns:
        A line about each optimizer, by its name.

    Example:
        >>> list_optimizers()["adam"]
        'Adam'
    """
    return _summaries(optimizer_entries())


def list_everything() -> dict[str, dict[str, str]]:
    """All that has a name, as `l2obench list` shows it.

    Returns:
        A line about each item, by the kind (`tasks`, `optimizers`, `suites`, …) and by its name.
    """
    starts = {name: f"{family}[start={name}]" for family in tasks.FAMILIES for name in tasks.shipped_starts(family)}
    return {
        "tasks": list_tasks(),
        "optimizers": {name: summary + _missing(name) for name, summary in list_optimizers().items()},
        "suites": {name: description("suites", name) for name in suite_names()},
        "checkpoints": {name: _describe_checkpoint(name) for name in optimizers.shipped_checkpoints()},
        "starts": starts,
        "recipes": {name: description("recipes", name) for name in recipe_names()},
    }


def _describe_checkpoint(name: str) -> str:
    families = optimizers.families_of_checkpoint(name)
    trained_on = families[0] if len(families) == 1 else f"a mixture of {len(families)} families"
    return f"{optimizers.rule_of_checkpoint(name)}[checkpoint={name}], trained on {trained_on}"


def _missing(name: str) -> str:
    """What an optimizer still needs, and how to install it; empty where it runs."""
    module, requirement = optimizers.NEEDS.get(name, ("l2obench", ""))
    found = importlib.util.find_spec(module) is not None
    return "" if found else f" [not installed. Try: pip install '{requirement}']"


def _summaries(entries: Entries) -> dict[str, str]:
    return {name: entry.summary for name, entry in entries.by_name.items()}
