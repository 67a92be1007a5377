"""The answer in words: does the learned optimizer reach a lower loss than the best tuned baseline, and by how much?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats.mean_ratio import FEW
from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Body, Section
from l2obench.reports.sections.words import format_interval, format_short, name_place, records


@dataclass(frozen=True)
class Shown:
    """A number of a card."""

    name: str
    number: str
    """As text; a ratio ends with ×."""
    ends: str
    """Of its 95 % interval."""

    @property
    def words(self) -> str:
        return f"{self.name} {self.number} (95 % interval {self.ends})"


@dataclass(frozen=True)
class Answer:
    """One comparison as a card."""

    verdict: str
    """`better`, `worse` or `unclear`, which colours the card."""
    word: str
    """What was found, in a word or two."""
    typical: Shown | None
    """What the verdict rests on. It is shown large."""
    means: Shown | None
    """The ratio of means, the paper's measure. It stands beside."""
    sentence: str


def answers(headline: pd.DataFrame) -> list[Answer]:
    """A card for every row of the headline table.

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
        join_lines(
            f"{row['optimizer']} ({row['track']}) has the lowest mean final loss on {name_place(row)}: "
            f"{format_number(row['mean_final_loss'])} ({format_interval(row)}, {row['seeds']} seeds)."
        )
        for row in records(final_losses.drop_duplicates(keys))
    ]


def _values(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    found = answers(analysis.headline)
    return {"answers": found, "leaders": [] if found else leaders(analysis.final_losses)}


def _answer(row: dict[str, Any]) -> Answer:
    verdict, _, failures = row["verdict"].partition("; ")
    name = row["optimizer"] + (f" ({row['track']})" if is_tuned(row["track"]) else "")
    if verdict.startswith("not comparable"):
        return Answer("unclear", "not comparable", None, None, join_lines(f"{name} on {name_place(row)}: {verdict}."))
    other = f"the best tuned baseline ({row['baseline']})"
    if not is_tuned(row["baseline_track"]):
        other = f"the best baseline ({row['baseline']}, untuned)"
    claim = {
        "better": f"{name} reaches a lower loss than {other} on {name_place(row)}",
        "worse": f"{name} reaches a higher loss than {other} on {name_place(row)}",
        "mixed": f"{name} and {other} are mixed on {name_place(row)}: the typical function and the mean point apart",
        "too few seeds": f"{name} and {other} ran on too few seeds of {name_place(row)} for a verdict",
    }.get(verdict, f"{name} and {other} do not differ clearly on {name_place(row)}")
    typical, means = _typical(row), _means(row)
    found = [typical.words] if typical else []
    found.append(f"lower on {row['win_rate']:.0%} of {row['seeds']} seeds")
    found += [means.words] if means else []
    about = ""
    if verdict in ("better", "worse", "mixed"):
        about = " This holds for this checkpoint, not for its recipe."
    few = f" The interval of the means is too narrow under {FEW} seeds." if means and row["seeds"] < FEW else ""
    near = "" if row["best_of_class"] == row["baseline"] else f" {_in_class(row)}"
    sentence = f"{claim}: {', '.join(found)}.{near}{few}{about}" + (f" {failures.capitalize()}." if failures else "")
    colour = verdict if verdict in ("better", "worse") else "unclear"
    return Answer(colour, verdict, typical, means, join_lines(sentence))


def _in_class(row: dict[str, Any]) -> str:
    """What holds against the best baseline that looks at nothing more than the learned optimizer."""
    if pd.isna(row["best_of_class"]):
        return f"No baseline of its class ({row['uses']}) ran."
    ends = f"{format_short(row['class_low'])}–{format_short(row['class_high'])}"
    unit = "×" if pd.notna(row["typical_ratio"]) else ""
    return (
        f"Of its class ({row['uses']}), {row['best_of_class']} is the best baseline. Against it the verdict is "
        f"{row['class_verdict']}: typical {'ratio' if unit else 'difference'} {format_short(row['class_ratio'])}{unit} "
        f"(95 % interval {ends})."
    )


def _typical(row: dict[str, Any]) -> Shown | None:
    """The typical ratio; the typical difference where a loss is negative."""
    if pd.notna(row["typical_ratio"]):
        return _ratio("typical ratio", row["typical_ratio"], row["typical_low"], row["typical_high"])
    if pd.notna(found := row.get("typical_difference")):
        ends = f"{format_short(row['difference_low'])}–{format_short(row['difference_high'])}"
        return Shown("typical difference", format_short(found), ends)
    return None


def _means(row: dict[str, Any]) -> Shown | None:
    return None if pd.isna(row["ratio"]) else _ratio("ratio of means", row["ratio"], row["low"], row["high"])


def _ratio(name: str, ratio: float, low: float, high: float) -> Shown:
    return Shown(name, f"{format_short(ratio)}×", f"{format_short(low)}–{format_short(high)}")


SECTION = Section(
    name="answer",
    title="Answer",
    body=Body("answer.html.j2", _values),
)
