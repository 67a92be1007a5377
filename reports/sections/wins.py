"""On how many tasks a learned optimizer reaches a lower mean final loss than a baseline."""

import pandas as pd

from l2obench.bench.stats import REFERENCE
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.familiarity import OTHERS
from l2obench.reports.numbers.wins import ALL, TRACKS, name_opponent, wins
from l2obench.reports.sections.section import Section


def sentences(table: pd.DataFrame) -> list[str]:
    """The counts against Adam, over all tasks and those held out; nothing where there is only one task.

    Args:
        table: as `l2obench.reports.numbers.wins.wins` gives it.
    """
    found = []
    table = table[table["against"].isin(name_opponent(REFERENCE, track) for track in TRACKS)]
    keys = [name for name in ("run", "optimizer", "against") if name in table]
    for _, rows in table.groupby(keys, sort=False):
        by = rows.set_index("families").to_dict("index")
        if by[ALL]["tasks"] < 2:
            continue
        optimizer, against = rows["optimizer"].iloc[0], _named(rows["against"].iloc[0])
        where = f" in {rows['run'].iloc[0]}" if "run" in rows else ""
        held_out = f" and on {by[OTHERS]['lower']} of the {by[OTHERS]['tasks']} held-out tasks" if OTHERS in by else ""
        count, fails = by[ALL], by[ALL]["failing_tasks"]
        found.append(
            join_lines(
                f"{optimizer} has a lower mean final loss than {against} on {count['lower']} of {count['tasks']} "
                f"tasks{where}{held_out}. It fails on {fails} {'task' if fails == 1 else 'tasks'}."
            )
        )
    return found


def _named(against: str) -> str:
    """`adam, tuned` in a sentence: tuned adam."""
    name, _, track = against.rpartition(", ")
    return f"{track} {name}"


def _sentences(table: pd.DataFrame, _: Analysis) -> list[str]:
    return sentences(table)


SECTION = Section(
    name="wins",
    title="Tasks won against each baseline",
    below=True,
    numbers=lambda analysis: wins(analysis.table, analysis.manifests),
    caption="Tasks on which a learned optimizer has a lower mean final loss than a baseline",
    introduction=(
        "We count the tasks on which the mean final loss of the learned optimizer is lower than the baseline's. A "
        "task counts as clearly lower, clearly higher or mixed where that is its verdict, corrected for all tasks "
        "against this baseline. A task fails where any of its seeds does."
    ),
    sentences=_sentences,
)
