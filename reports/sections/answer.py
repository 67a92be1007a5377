"""The first screen: a card for each learned optimizer, and a forest plot of all tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from l2obench.reports.figures.styles import MARKERS, SHAPES, Look, looks, optimizers_of
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import Answer, cannot_decide
from l2obench.reports.numbers.between import OTHER, OWN
from l2obench.reports.numbers.counting import groups
from l2obench.reports.numbers.leaders import count_leaders, leaders
from l2obench.reports.sections.answer_facts import Fact
from l2obench.reports.sections.answer_words import Card, explain, make_card
from l2obench.reports.sections.forest_view import view_forest
from l2obench.reports.sections.section import Body, Section
from l2obench.reports.sections.words import format_ratio, records

CHANGE = "Against "
"""How the name of a fact begins that compares two runs."""
MOST_LEADERS = 5
"""Where no learned optimizer ran: hand-designed ones that the first screen names."""


def make_cards(analysis: Analysis) -> list[Card]:
    """The cards of the first screen; of an optimizer that ran in an earlier run too, with what has changed.

    Args:
        analysis: of the runs.
    """
    counts, undecidable = records(analysis.between_counts), cannot_decide(analysis.by_task) is not None
    return [
        make_card(answer, undecidable, [change for row in counts if (change := _change(row, answer))])
        for answer in analysis.shown[0]
    ]


def make_notes(analysis: Analysis) -> list[str]:
    """What a reader must know of the numbers, and what holds for recipes of which several trainings ran.

    Args:
        analysis: of the runs.
    """
    notes = explain(analysis.shown[0], analysis.by_task)
    for key, rows in groups(analysis.recipe_verdicts, "rule", "trainings", "of"):
        counts = rows["verdict"].value_counts()
        better, worse = counts.get("better", 0), counts.get("worse", 0)
        if better or worse:
            recipe = f"Over {key['trainings']} trainings, the recipe of {key['rule']}"
            notes.append(join_lines(f"{recipe} is better on {better} of {len(rows)} tasks, worse on {worse}."))
    return notes


def _change(row: dict[str, Any], answer: Answer) -> Fact | None:
    """What a run changed for an optimizer that an earlier run has too."""
    own, other = tuple(row[name] for name in OWN), tuple(row[name] for name in OTHER)
    if own != (answer.run, answer.optimizer, answer.track) or own[1:] != other[1:]:
        return None
    name = f"{CHANGE}{row['against_run']}"
    tasks = f"{row['tasks']} common task" + ("s" if row["tasks"] != 1 else "")
    if row["equal"] == row["tasks"]:
        return Fact(name, f"{name}: the same typical losses on {tasks}.", f"the same on {tasks}", True)
    counts = f"lower on {row['lower']}, equal on {row['equal']}, higher on {row['higher']}"
    ratio = f"typical ratio {format_ratio(row['typical_ratio'])}"
    verdicts = f"better {row['better']}, worse {row['worse']}"
    words = f"{name}, on {tasks}: {counts}; {ratio}. Verdicts: {verdicts}."
    return Fact(name, words, f"{counts}; {ratio}; {verdicts}", row["lower"] >= row["higher"])


def _values(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    if not analysis.answers:
        return {"cards": [], "leading": _leading(analysis.final_losses)}
    shown, others = analysis.shown
    cards = make_cards(analysis)
    against = {card.against for card in cards}
    found = _looks(shown, looks(optimizers_of(analysis.plots)))
    return {
        "cards": cards,
        "against": against.pop() if len(against) == 1 else "the best baseline",
        "columns": _columns(cards),
        "colours": [look.colour for look in found],
        "shapes": [SHAPES[MARKERS[look.kind][look.marker]] for look in found],
        "others": [make_card(answer) for answer in others],
        "notes": make_notes(analysis),
        "forest": view_forest(analysis.by_task, shown),
        "leading": {},
    }


def _looks(answers: Sequence[Answer], known: Mapping[str, Look]) -> list[Look]:
    """The look of each optimizer, that of the charts; a second run of the same one has another marker."""
    found: list[Look] = []
    for answer in answers:
        look = known[answer.optimizer]
        free = [number for number in range(len(MARKERS[look.kind])) if replace(look, marker=number) not in found]
        found.append(look if look not in found else replace(look, marker=free[0]))
    return found


def _columns(cards: Sequence[Card]) -> list[str]:
    """Names of all facts, what has changed since another run first."""
    names = dict.fromkeys(fact.name for card in cards for fact in card.facts)
    return sorted(names, key=lambda name: not name.startswith(CHANGE))


def _leading(final_losses: pd.DataFrame) -> dict[str, Any]:
    """How often each hand-designed optimizer has the lowest mean final loss."""
    found = leaders(final_losses)
    counts = count_leaders(found)
    rows = [{**row, "optimizer": join_lines(row["optimizer"])} for row in records(counts.head(MOST_LEADERS))]
    return {"tasks": len(found), "rows": rows, "others": max(len(counts) - MOST_LEADERS, 0)}


SECTION = Section(
    name="answer",
    title="Answer",
    body=Body("answer.html.j2", _values),
)
