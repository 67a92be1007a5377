"""The answer in words: does the learned optimizer reach a lower loss than the best tuned baseline, and by how much?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2obench.reports.formats import format_number, one_line
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Body, Section
from l2obench.reports.sections.words import interval, place, records, short


@dataclass(frozen=True)
class Answer:
    """One comparison: `verdict` is `better`, `worse` or `unclear`, `ratio` the number as text."""

    verdict: str
    ratio: str
    sentence: str


def answers(headline: pd.DataFrame) -> list[Answer]:
    """A sentence for every row of the headline table.

    Args:
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
    """
    return [_answer(row) for row in records(headline)]


def leaders(final_losses: pd.DataFrame) -> list[str]:
    """Where no learned optimizer ran: the best optimizer of every task.

    Args:
        final_losses: as `l2obench.reports.numbers.final_losses.final_losses` gives it.
    """
    keys = [name for name in ("run", "task") if name in final_losses]
    return [
        one_line(
            f"{row['optimizer']} ({row['track']}) has the lowest mean final loss on {place(row)}: "
            f"{format_number(row['mean_final_loss'])} ({interval(row)}, {row['seeds']} seeds)."
        )
        for row in records(final_losses.drop_duplicates(keys))
    ]


def _values(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    found = answers(analysis.headline)
    return {"answers": found, "leaders": [] if found else leaders(analysis.final_losses)}


def _answer(row: dict[str, Any]) -> Answer:
    verdict, _, failures = row["verdict"].partition("; ")
    name = row["optimizer"] + (" (tuned)" if row["track"] == "tuned" else "")
    if verdict.startswith("not comparable"):
        return Answer("unclear", "—", one_line(f"{name} on {place(row)}: {verdict}."))
    kind = "best tuned baseline" if row["baseline_track"] == "tuned" else "best untuned baseline"
    other = f"the {kind} ({row['baseline']})"
    claim = {
        "better": f"{name} reaches a lower loss than {other} on {place(row)}",
        "worse": f"{name} reaches a higher loss than {other} on {place(row)}",
        "mixed": f"{name} and {other} are mixed on {place(row)}: the typical function and the mean point apart",
        "too few seeds": f"{name} and {other} ran on too few seeds of {place(row)} for a verdict",
    }.get(verdict, f"{name} and {other} do not differ clearly on {place(row)}")
    means = f"mean final loss, learned ÷ baseline, {short(row['ratio'])} ({interval(row)}, {row['seeds']} seeds)"
    typical = ""
    if verdict != "too few seeds" and row["typical_ratio"] == row["typical_ratio"]:
        ends = f"{short(row['typical_low'])}–{short(row['typical_high'])}"
        typical = f"typical ratio {short(row['typical_ratio'])} ({ends}), lower on {row['win_rate']:.0%} of seeds; "
    sentence = f"{claim}: {typical}{means}." + (f" {failures.capitalize()}." if failures else "")
    return Answer(verdict if verdict in ("better", "worse") else "unclear", short(row["ratio"]), one_line(sentence))


SECTION = Section(
    name="answer",
    title="Answer",
    body=Body("answer.html.j2", _values),
)
