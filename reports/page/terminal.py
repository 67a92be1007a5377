"""The answer as plain text for a terminal of 80 columns and 24 lines, whatever the size of the run."""

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from l2obench.reports.formats import join_lines, readable
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.leaders import count_leaders, leaders
from l2obench.reports.numbers.tally import tally
from l2obench.reports.sections.answer import make_cards, make_notes
from l2obench.reports.sections.answer_words import Card
from l2obench.reports.sections.words import format_ratio

WIDTH = 80
MOST_LINES = 21
"""Lines of the answer: with what a command prints below it, it stands on one screen."""
NO_VERDICTS = "No task has the seeds for a verdict of its own."
MOST_NAME = 120
"""Characters of a name. A longer one is cut in its middle, where names differ least."""
MOST_LEADERS = 10
LOSSES = {"task": "task", "optimizer": "optimizer", "track": "track", "mean_final_loss": "mean_loss"}
LOSSES |= {"low": "low", "high": "high", "failures": "failed"}


def headline_rows(analysis: Analysis) -> pd.DataFrame:
    """Give the rows of the headline; final losses where there is no learned optimizer to compare.

    Args:
        analysis: of the runs.
    """
    return analysis.final_losses if analysis.headline.empty else analysis.headline


def headline_text(analysis: Analysis) -> str:
    """Write the answer of the first screen: for each learned optimizer a claim, and what speaks for and against it.

    It has at most 21 lines of at most 80 characters. Where that is not enough, notes are left out first, then families
    of tasks, then facts.

    Args:
        analysis: of the runs.
    """
    if not analysis.answers:
        return _without_learned(analysis)
    cards, notes = make_cards(analysis), make_notes(analysis)
    families = _families(analysis) if len(cards) == 1 else []
    more = len(analysis.shown[1])
    last = [f"{more} more learned {'optimizer' if more == 1 else 'optimizers'} ran: see the report."] if more else []
    if len(cards) > 1 and not any(card.decided for card in cards):
        last = [NO_VERDICTS, *last]
    attempts: list[tuple[Callable[[Card], list[str]], list[str]]] = [
        (_whole, [*families, *notes]),
        (_whole, families),
        (_whole, []),
        *((partial(_brief, most=most), []) for most in (4, 3, 2, 1)),
    ]
    for make, details in attempts:
        lines = [*(line for card in cards for line in make(card)), *_wrapped_all(details), *last]
        if len(lines) <= MOST_LINES:
            return "\n".join(lines)
    lines = [line for card in cards for line in _claim(card)]
    return "\n".join([*lines[: MOST_LINES - 2], *last])


def _claim(card: Card, verdicts: bool = False) -> list[str]:
    name = card.name
    if len(name) > MOST_NAME:
        name = f"{name[: MOST_NAME // 2]}…{name[-MOST_NAME // 2 :]}"
    return _wrapped(f"{name}: {card.claim} {card.verdicts if verdicts or card.decided else ''}", "", "  ")


def _whole(card: Card) -> list[str]:
    """A card with its sentences."""
    return _claim(card, verdicts=True) + [
        line
        for favours, label in ((True, "+"), (False, "-"))
        for sentence in card.sentences(favours)
        for line in _wrapped(sentence, f"  {label} ", "    ")
    ]


def _brief(card: Card, most: int) -> list[str]:
    """A card with as many facts, marked + or -, as these lines hold."""
    lines: list[str] = []
    said = ""
    for fact in card.facts:
        said += f"{'; ' if said else ''}{'+' if fact.favours else '-'} {fact.name.lower()}: {fact.short}"
        longer = _wrapped(said, "  ", "  ")
        if len(longer) > most:
            break
        lines = longer
    return _claim(card) + lines


def _families(analysis: Analysis) -> list[str]:
    """A line for each family of tasks, where there are several."""
    table = analysis.by_task.assign(higher_is_better=False)
    found = []
    for family, rows in table.groupby("family", sort=False):
        counted = tally(rows)
        if counted is not None:
            ratio = f", typical ratio {format_ratio(counted.ratio)}" if counted.ratios else ""
            found.append(join_lines(f"  {family}: lower on {counted.lower} of {counted.tasks}{ratio}"))
    return found if len(found) > 1 else []


def _without_learned(analysis: Analysis) -> str:
    """Final losses where they fit, else how many tasks each optimizer leads."""
    losses = analysis.final_losses
    if len(losses) <= MOST_LINES - 4:
        title = "Final losses (no learned optimizer ran)"
        return _grid(losses[[*(["run"] if "run" in losses else []), *LOSSES]].rename(columns=LOSSES), title)
    found = leaders(losses)
    counts = count_leaders(found)
    title = f"Lowest mean final loss on {len(found)} tasks (no learned optimizer ran)"
    rest = len(counts) - MOST_LEADERS
    lines = [_grid(counts.head(MOST_LEADERS), title), *([f"{rest} more lead fewer tasks."] if rest > 0 else [])]
    return "\n".join(lines)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        join_lines(text), WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )


def _wrapped_all(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in _wrapped(text, text[: len(text) - len(text.lstrip())], "  ")]


def _grid(table: pd.DataFrame, title: str) -> str:
    """A table that is no wider than the terminal: long names lose their ends."""
    grid = Table(title=title, title_justify="left", title_style="none", header_style="none", box=box.SIMPLE_HEAD)
    visible = readable(table)
    for column in visible:
        # Names give way to numbers, which are worth nothing without their ends.
        least = max(map(len, [column.title, *column.cells])) if column.numeric else None
        side: JustifyMethod = "right" if column.numeric else "left"
        grid.add_column(column.title, justify=side, no_wrap=True, overflow="ellipsis", min_width=least)
    for row in zip(*(column.cells for column in visible), strict=True):
        grid.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")
