"""What the shell offers at the tabulator: names of tasks, optimizers, suites, recipes and runs.

It reads tables and names of files, and imports nothing that takes longer than a user waits for a key.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from l2obench.bench.config.shipped import recipe_names, suite_description, suite_names
from l2obench.optimizers import RULES, rule_of_checkpoint, shipped_checkpoints
from l2obench.tasks import FAMILIES

Items = Iterable[tuple[str, str]]
"""Names, each with a line about it, which some shells show."""


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Task families."""
    return _matching(incomplete, ((name, summary) for name, (_, summary) in FAMILIES.items()))


def complete_optimizer(incomplete: str) -> list[tuple[str, str]]:
    """Optimizers, and learned ones with each of their shipped checkpoints."""
    rules = ((name, summary) for name, (_, summary) in RULES.items())
    return _matching(incomplete, [*rules, *_checkpoints()])


def complete_suite(incomplete: str) -> list[tuple[str, str]]:
    """Suites of the package; the shell itself offers files."""
    return _matching(incomplete, ((name, suite_description(name)) for name in suite_names()))


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """Recipes of meta-training."""
    return _matching(incomplete, ((name, "recipe") for name in recipe_names()))


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """Runs below `results`, by their names."""
    folder = Path("results")
    runs = sorted(path.parent.name for path in folder.glob("*/manifest.json")) if folder.is_dir() else []
    return _matching(incomplete, ((name, f"results/{name}") for name in runs))


def complete_name(incomplete: str) -> list[tuple[str, str]]:
    """All that `l2obench info` describes."""
    complete: list[Callable[[str], list[tuple[str, str]]]]
    complete = [complete_task, complete_optimizer, complete_suite, complete_recipe, complete_run]
    return list(dict(item for each in complete for item in each(incomplete)).items())


def _checkpoints() -> Items:
    for name in shipped_checkpoints():
        yield f"{rule_of_checkpoint(name)}[checkpoint={name}]", f"trained, checkpoint {name}"


def _matching(incomplete: str, items: Items) -> list[tuple[str, str]]:
    return [(name, about) for name, about in items if name.startswith(incomplete)]
