"""What has a name: our tables of tasks and optimizers, and the entry points of installed plugins. Nothing is imported.

Whoever only lists names needs this module, and neither the registry nor what it makes objects with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from l2obench import optimizers, tasks


@dataclass(frozen=True)
class Entry:
    """One registered family or rule."""

    path: str
    """Where its class is, as `module:Class`."""
    summary: str
    """A line about it."""
    distribution: str
    """The package that brings it."""


@dataclass(frozen=True)
class Entries:
    """The names of one kind."""

    by_name: dict[str, Entry]
    conflicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Names that two packages claim, with both packages. Only the use of such a name is an error: an installed package
    should not break all other names."""


def collect_entries(builtin: Mapping[str, tuple[str, str]], plugins: Iterable[EntryPoint]) -> Entries:
    """Put our own names and those of plugins together.

    Args:
        builtin: our own: path of the class and summary, by name.
        plugins: entry points of installed packages.
    """
    found = Entries({name: Entry(path, summary, "l2obench") for name, (path, summary) in builtin.items()})
    for plugin in plugins:
        origin = plugin.dist.name if plugin.dist else plugin.value
        if (known := found.by_name.get(plugin.name)) is not None and known.path != plugin.value:
            found.conflicts[plugin.name] = (known.distribution, origin)
        else:
            found.by_name[plugin.name] = Entry(plugin.value, f"plugin of {origin}", origin)
    return found


@lru_cache(maxsize=1)
def task_entries() -> Entries:
    """Give the names of task families."""
    return collect_entries(tasks.FAMILIES, _installed().select(group="l2obench.tasks"))


@lru_cache(maxsize=1)
def optimizer_entries() -> Entries:
    """Give the names of optimizers."""
    return collect_entries(optimizers.RULES, _installed().select(group="l2obench.optimizers"))


@lru_cache(maxsize=1)
def _installed() -> Any:  # its type has another name from Python 3.12 on
    """Of both groups at once: every call reads the metadata of all installed packages."""
    return entry_points()
