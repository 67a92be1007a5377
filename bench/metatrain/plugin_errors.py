"""A plugin in a training: what it raises becomes one line, and what it changes of the process is put back."""

import contextlib
from collections.abc import Iterator

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import Registry, optimizer_registry, task_registry
from l2obench.bench.metatrain.last_words import last_words
from l2obench.foundation.errors import describe_error
from l2obench.foundation.global_settings import seeded
from l2obench.foundation.plain_text import escape_controls


class TrainingStopped(RuntimeError):
    """A plugin that takes part in a training raised; finished work is kept."""

    exit_code = 3


@contextlib.contextmanager
def plugin_errors(recipe: Recipe) -> Iterator[None]:
    """Turn what is raised in the block into one line, where a plugin takes part in the training.

    Args:
        recipe: of the training.

    Raises:
        TrainingStopped: something was raised that says nothing to users by itself.
    """
    try:
        yield
    except Exception as error:
        plugins = list(dict.fromkeys(_list_plugins(recipe)))
        if hasattr(error, "exit_code") or isinstance(error, FileNotFoundError) or not plugins:
            raise
        raise TrainingStopped(
            f"the training of {recipe.optimizer} stopped, in which {', '.join(plugins)} takes part: "
            f"{describe_error(error)}. Try: l2obench test-plugin {plugins[0]}"
        ) from error


@contextlib.contextmanager
def plugin_settings(recipe: Recipe, trajectory: int) -> Iterator[None]:
    """Where a plugin takes part, keep the settings of the process, and set the global generators from the trajectory.

    So a training that was resumed gives the same numbers, also where a plugin draws from the global generators.

    Args:
        recipe: of the training.
        trajectory: its number.
    """
    if not any(_list_plugins(recipe)):
        yield
        return
    with seeded(f"{recipe.optimizer} {recipe.task} {recipe.seed} trajectory {trajectory}"):
        yield


@contextlib.contextmanager
def plugin_crash_said(recipe: Recipe) -> Iterator[None]:
    """Where a plugin takes part, say so on stderr if the process ends inside the block, as by a crash.

    Args:
        recipe: of the training.
    """
    plugins = list(dict.fromkeys(_list_plugins(recipe)))
    if not plugins:
        yield
        return
    line = (
        f"the process of the training of {recipe.optimizer} ended, in which {', '.join(plugins)} takes part. "
        "Finished work is kept. Try: the same command again to resume"
    )
    with last_words(escape_controls(line)):
        yield


def _list_plugins(recipe: Recipe) -> Iterator[str]:
    tasks = [recipe.task, *(recipe.mixture or ()), *(recipe.validation or ())]
    named: list[tuple[Registry, str]] = [(optimizer_registry(), recipe.optimizer)]
    named += [(task_registry(), task) for task in tasks]
    for registry, identity in named:
        name, _ = parse_identity(identity)
        if registry.foreign(name):
            yield name
