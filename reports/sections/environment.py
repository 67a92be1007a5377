"""Where and how the runs were made: environment, data sources, and the commands that make them again."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Body, Section

WITHOUT_SUITE = "custom"
"""The suite that a run names whose tasks and optimizers were given one by one."""
NAMED_TASKS = 3
"""Tasks that a title names; of more it gives the number."""


def about(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a run, as text: its description, its environment, its commands and its data sources.

    Args:
        manifest: of the run; it may hold anything.
    """
    environment: Mapping[str, Any] = manifest.get("environment") or {}
    commit, dirty = environment.get("commit"), environment.get("dirty")
    state = "" if dirty is None else ", with uncommitted changes" if dirty else ", clean"
    facts = {
        "suite": manifest.get("suite"),
        "started": manifest.get("started"),
        "commit": f"{commit}{state}" if commit else "unknown: not run from a checkout",
        "device": f"{environment.get('device_name', '—')} ({environment.get('device', 'device not recorded')})",
        "processor": environment.get("processor"),
        "threads": environment.get("threads"),
        "load at the start": environment.get("load"),
        "system": environment.get("system"),
        "python": environment.get("python"),
        **(environment.get("versions") or {}),
    }
    return {
        "description": _one(manifest.get("description") or ""),
        "facts": {_one(name): _one("—" if value is None else value) for name, value in facts.items()},
        "line": _line(manifest),
        "commands": _commands(manifest),
        "sources": {
            _one(name): (_one(source.get("description", "—")), _one(source.get("sha256", "—")))
            for name, source in (manifest.get("sources") or {}).items()
        },
    }


def _line(manifest: Mapping[str, Any]) -> list[str]:
    """The facts of the page's first line: suite, date, device, threads and commit, those that are known."""
    environment: Mapping[str, Any] = manifest.get("environment") or {}
    suite, commit, threads = manifest.get("suite"), environment.get("commit"), environment.get("threads")
    changed = " with uncommitted changes" if environment.get("dirty") else ""
    found = [
        f"suite {suite}" if suite not in (None, WITHOUT_SUITE) else "",
        str(manifest.get("started") or "")[:10],
        str(environment.get("device_name") or environment.get("device") or ""),
        f"{threads} {'thread' if threads == 1 else 'threads'}" if threads else "",
        f"commit {str(commit)[:7]}{changed}" if commit else "",
    ]
    return [_one(text) for text in found if text]


def name_run(label: str, manifest: Mapping[str, Any]) -> str:
    """What a run is called in titles: its suite; its tasks where it had no suite; its folder where it says neither.

    Args:
        label: of its folder.
        manifest: of the run; it may hold anything.

    Example:
        >>> name_run("run", {"suite": "custom", "cells": [{"task": "quadratic"}, {"task": "sinusoid"}]})
        'quadratic and sinusoid'
    """
    if (suite := manifest.get("suite")) != WITHOUT_SUITE:
        return _one(suite or label)
    tasks = list(dict.fromkeys(_one(cell["task"]) for cell in manifest.get("cells") or [] if cell.get("task")))
    return (" and ".join(tasks) if len(tasks) <= NAMED_TASKS else f"{len(tasks)} tasks") or label


def _one(value: object) -> str:
    return join_lines(str(value))


def _commands(manifest: Mapping[str, Any]) -> list[str]:
    """Every command that wrote into the run, in order; a start that only went on with an earlier one is given once."""
    starts = manifest.get("starts") or [manifest]
    return list(dict.fromkeys(_one(start["command"]) for start in starts if start.get("command")))


def _values(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    return {"runs": [(join_lines(label), about(manifest)) for label, manifest in analysis.manifests.items()]}


SECTION = Section(
    name="environment",
    title="Environment",
    body=Body("environment.html.j2", _values),
)
