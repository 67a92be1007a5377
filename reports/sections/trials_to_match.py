"""How many trials a baseline needs until it is at least as good as an untuned learned optimizer, over all tasks."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.figures.curves import line_styles
from l2obench.reports.figures.trials_to_match import match_drawings
from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import format_short, records


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says, a sentence for each learned optimizer and baseline.

    Args:
        table: as `l2obench.reports.numbers.trials_to_match.matched_over_tasks` gives it.
    """
    return [join_lines(_sentence(row)) for row in records(table)]


def _sentence(row: dict[str, Any]) -> str:
    tasks, never = row["tasks"], row["never"]
    learned = f"untuned {row['optimizer']}" + (f" in {row['run']}" if "run" in row else "")
    trials = "trial" if row["source"] != "default" else "untuned run"
    if never == tasks:
        where = "on the only task" if tasks == 1 else f"on any of {tasks} tasks"
        return f"No {trials} of {row['baseline']} ({row['source']}) is as good as {learned} {where}."
    about = f"{trials} of {row['baseline']} ({row['source']}) is as good as {learned}"
    if never:
        start = f"On {never} of {tasks} tasks no {about}."
    else:
        start = f"Some {about} on {'the only task' if tasks == 1 else f'each of {tasks} tasks'}."
    if not np.isfinite(row["trials"]):
        return start
    cost = f"{format_number(row['passes'])} passes"
    cost += f" and {format_short(row['seconds'])} s" if np.isfinite(row["seconds"]) else ""
    count = format_short(row["trials"])
    return f"{start} The median task takes {count} {'trial' if count == '1' else 'trials'}, {cost}."


SECTION = Section(
    name="trials_to_match",
    title="Trials to match",
    numbers=lambda analysis: analysis.matched_over_tasks,
    caption="Trials until a baseline is at least as good as an untuned learned optimizer, medians of tasks",
    introduction=(
        "A trial matches where its mean final loss is at most that of the learned optimizer, which nobody tuned. The "
        "number is the expected number of trials until the first that matches, if they are tried in a random order. A "
        "trial trains one function once: that is its cost in passes (gradients) and seconds. Trials are the rates of "
        "the grid on tuning seeds, or those of a budget on evaluation seeds. A baseline that was not tuned has one: "
        "its defaults. The columns “within k” give the share of tasks that k trials match."
    ),
    sentences=lambda table, _: sentences(table),
    drawings=lambda _, analysis: match_drawings(analysis.trials_to_match, line_styles(analysis.plots)),
    in_page=True,
)
