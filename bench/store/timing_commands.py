"""The commands that measure a run's step times again, from its manifest: losses stay as they are."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

# With the first, the run would compute its losses again; with the second, it would measure no times.
LEFT_OUT = ("--force", "--no-timing")


def timing_commands(manifest: Mapping[str, Any], tasks: Iterable[str]) -> list[str]:
    """The commands that measure the step times of these tasks, where they are missing or were taken under load.

    Args:
        manifest: of the run; it may hold anything.
        tasks: identities.

    Returns:
        The commands by which the tasks were timed, or else those of the run's starts, once each. Those of another
        program, as of a notebook, are left out.

    Example:
        >>> timing_commands({"starts": [{"command": "l2obench run quick --force --no-timing"}]}, ["quadratic"])
        ['l2obench run quick']
    """
    timed = manifest.get("timing") or {}
    found: list[Any] = []
    for task in tasks:
        by = (timed.get(task) or {}).get("command")
        found += [start.get("command") for start in manifest.get("starts") or [manifest]] if by is None else [by]
    commands = (_without_options(command) for command in found if isinstance(command, str))
    return list(dict.fromkeys(command for command in commands if command.startswith("l2obench run")))


def _without_options(command: str) -> str:
    try:
        words = shlex.split(command)
    # A manifest may hold any text.
    except ValueError:
        return ""
    return shlex.join(word for word in words if word not in LEFT_OUT)
