"""The forest plot with its words, as the template shows it."""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from l2obench.reports.figures.forest import Forest, Lane, TaskRow, make_forest
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.answer import Answer, cannot_decide
from l2obench.reports.numbers.familiarity import TRAINED
from l2obench.reports.numbers.tally import NOT_COMPARABLE, tally
from l2obench.reports.sections.answer_words import name_answer
from l2obench.reports.sections.words import format_ratio, format_short

SIDES = {1: "better", -1: "worse", 0: "unclear"}
NOT_SHOWN = "not shown"
"""In place of no difference where no verdict is possible."""
MOST_OPEN = 40
"""Comparisons up to which the families of the plot stand open."""


def view_forest(tasks: pd.DataFrame, answers: Sequence[Answer]) -> dict[str, Any]:
    """Give everything that the template draws.

    Args:
        tasks: as `l2obench.reports.numbers.by_task.by_task` gives them.
        answers: of the optimizers that are drawn, in the order of their lanes.
    """
    keys = [(answer.run, answer.optimizer, answer.track) for answer in answers]
    runs = tasks["run"] if "run" in tasks else [""] * len(tasks)
    places = pd.Series([*zip(runs, tasks["optimizer"], tasks["track"], strict=True)], tasks.index, dtype=object)
    table = tasks.assign(key=places, higher_is_better=False)
    table = table[table["key"].isin(keys)].reset_index(drop=True)
    compared = table[~table["verdict"].str.startswith(NOT_COMPARABLE)]
    if compared.empty:
        return {}
    if cannot_decide(tasks):
        table["verdict"] = table["verdict"].replace("no difference", NOT_SHOWN)
    forest = make_forest(compared, keys)
    return {
        "ticks": [(place, format_ratio(float(f"{value:.2g}"))) for place, value in forest.ticks],
        "names": _names(answers),
        "open": len(compared) <= MOST_OPEN,
        "families": _families(forest, table),
    }


def _names(answers: Sequence[Answer]) -> list[str]:
    """Names for the legend: without the track where it tells nothing apart."""
    short = [
        join_lines(f"{answer.optimizer} in {answer.run}" if answer.run else answer.optimizer) for answer in answers
    ]
    return short if len(set(short)) == len(short) else [join_lines(name_answer(answer)) for answer in answers]


def _families(forest: Forest, table: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for group in forest.groups:
        rows = [_task(task, table, len(group.tasks) > 1) for task in group.tasks]
        summary = _summary([lane for task in group.tasks for lane in task.lanes], table) if len(rows) > 1 else []
        found.append({"name": join_lines(group.family), "tasks": rows, "lanes": summary})
    return found


def _task(task: TaskRow, table: pd.DataFrame, in_group: bool) -> dict[str, Any]:
    """A row; in a group, its name is what tells it from the others."""
    name = join_lines(task.task)
    _, bracket, parameters = name.partition("[")
    short = (f"{parameters.removesuffix(']')}" if bracket else "standard") if in_group else name
    trained = any(table["familiarity"][lane.row] == TRAINED for lane in task.lanes)
    lanes = [_lane(lane, table) for lane in task.lanes]
    return {"task": name, "short": short.replace(",", ", "), "trained": trained, "lanes": lanes}


def _lane(lane: Lane, table: pd.DataFrame) -> dict[str, Any]:
    row: dict[Hashable, Any] = table.loc[lane.row].to_dict()
    few = lane.hollow
    if row["measure"] == "ratio":
        number = format_ratio(float(row["typical"])) if pd.notna(row["typical"]) else "—"
        ends = f"{format_ratio(row['typical_low'])[:-1]}–{format_ratio(row['typical_high'])[:-1]}"
    else:
        number = f"{row['typical']:+.3g}"
        ends = f"{format_short(row['typical_low'])} to {format_short(row['typical_high'])}"
    return {
        "lane": lane,
        "number": number,
        "ends": "" if few else ends,
        "verdict": f"{row['seeds']} seeds" if few else row["verdict"],
        "side": row["verdict"] if row["verdict"] in ("better", "worse") else "unclear",
    }


def _summary(lanes: Sequence[Lane], table: pd.DataFrame) -> list[dict[str, Any]]:
    """What a family says of each optimizer: its points, and its counts in words."""
    found = []
    for number in sorted({lane.optimizer for lane in lanes}):
        own = [lane for lane in lanes if lane.optimizer == number]
        counted = tally(table.loc[[lane.row for lane in own]])
        if counted is None:
            continue
        verdicts = [f"{name} {counted.verdicts[name]}" for name in ("better", "worse") if counted.verdicts[name]]
        found.append(
            {
                "optimizer": number,
                "dots": [lane for lane in own if lane.point is not None],
                "number": "—" if math.isnan(counted.ratio) else format_ratio(counted.ratio),
                "words": f"lower on {counted.lower} of {counted.tasks}",
                "verdict": ", ".join(verdicts),
                "side": SIDES[(counted.lower > counted.higher) - (counted.lower < counted.higher)],
            }
        )
    return found
