"""What must be known of step times: which were taken under load, or not at all, and how to take them again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.store.timing_commands import timing_commands
from l2obench.reports.cells.table import CellTable, table_of_cells
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.counting import fact
from l2obench.reports.sections.words import format_short

MOST_COMMANDS = 2
"""More than these would make a sentence that nobody reads."""


def timing_sentences(analysis: Analysis) -> list[str]:
    """Say all that the report and the terminal say of it.

    Args:
        analysis: of the runs.
    """
    timing, manifests = analysis.results.timing, analysis.manifests
    return [*load_sentences(timing, manifests), *untimed_sentences(analysis.table, timing, manifests)]


def load_sentences(timing: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each run was timed beside: times that were taken under load, and times whose load nobody watched.

    Args:
        timing: rows of the timing pass, of one run or several.
        manifests: by the label of their run.
    """
    found = []
    for label, manifest in manifests.items():
        rows = timing[timing["run"] == label] if "run" in timing else timing
        beginning, tasks = f"{label}: " if len(manifests) > 1 else "", rows["task"].nunique()
        loaded = rows[rows["under_load"].eq(True)]
        unknown = rows[rows["under_load"].isna() & rows["grad_seconds"].notna()]
        found += [] if loaded.empty else [beginning + _under_load(loaded, tasks, manifest)]
        found += [] if unknown.empty else [beginning + _unknown_load(unknown, tasks, manifest)]
    return [join_lines(sentence) for sentence in found]


def untimed_sentences(
    cells: pd.DataFrame | CellTable, timing: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What a run with `--no-timing` lacks, and the command that adds it.

    Args:
        cells: rows of one run or several.
        timing: rows of the timing pass.
        manifests: by the label of their run.
    """
    tasks = table_of_cells(cells).tasks
    untimed = [task.task for task in tasks if np.isnan(task.numbers("update_seconds")).all()]
    loaded = set(timing.loc[timing["under_load"].eq(True), "task"])
    missing = [task for task in untimed if task not in loaded]
    if not missing:
        return []
    count = len({task.task for task in tasks})
    again = [_again(manifest, missing) for manifest in manifests.values()]
    return [
        join_lines(
            f"Step times were not measured on {len(missing)} of {count} tasks. Their columns are empty, "
            f"and so is all that follows from them. To measure them, run {' and '.join(dict.fromkeys(again))}."
        )
    ]


def _under_load(loaded: pd.DataFrame, tasks: int, manifest: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(loaded["task"]))
    worst = loaded.astype({"others_busy": float}).sort_values("others_busy", na_position="first").iloc[-1]
    busy = ""
    if worst["others_busy"] > 0:
        busy = f"Other processes kept up to {worst['others_busy']:.2g} of {worst['processors']:.0f} processors busy. "
    stopped = float(loaded["throttled_seconds"].astype(float).max())
    if stopped > 0:
        busy += f"The quota of its container stopped the run for {stopped:.2g} s. "
    return (
        f"The step times of {len(names)} of {tasks} tasks were taken under load: not quoted. {busy}Run "
        f"{_again(manifest, names)} again on a quiet machine: it takes only these times."
    )


def _unknown_load(unknown: pd.DataFrame, tasks: int, manifest: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(unknown["task"]))
    sentence = (
        f"The load during the timing of {len(names)} of {tasks} tasks is unknown: it was not recorded. "
        f"Run {_again(manifest, names)} again on a quiet machine: it takes only the times."
    )
    for start in manifest.get("starts") or [manifest]:
        environment = start.get("environment") or {}
        load, processors = fact(environment, "load"), fact(environment, "processors")
        if load >= processors:
            return (
                f"{sentence} As the run began, the machine was busy: {format_short(load)} processes for "
                f"{processors:.0f} processors. Do not quote seconds, or ratios of seconds, from this run."
            )
    return sentence


def _again(manifest: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """The commands that measure the step times of these tasks; of a notebook or a script, words for them."""
    commands = [f"`{command}`" for command in timing_commands(manifest, tasks)]
    if len(commands) > MOST_COMMANDS:
        commands[1:] = [f"{len(commands) - 1} more, which manifest.json has under `starts`, without `--no-timing`"]
    return " and ".join(commands) or "the same call"
