"""Results as a notebook shows them: what ran, the answer for each learned optimizer, and the first rows."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from l2obench.reports.formats import join_lines, readable
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.answer import make_cards
from l2obench.reports.sections.environment import name_run

ROWS = 12
"""Rows of the table; the method that it names has all."""
COLUMNS = {
    "compare()": "task optimizer track baseline baseline_track typical_ratio typical_low typical_high win_rate verdict",
    "frame()": "task optimizer track mean_final_loss low high seeds failures",
}
"""Method → those of its columns that fit beside each other."""


def describe_html(analysis: Analysis) -> str:
    """Write results as HTML. Names are data: whatever they hold, they stay text.

    Args:
        analysis: of one run.
    """
    ((label, manifest),) = analysis.manifests.items()
    cards = make_cards(analysis) if analysis.answers else []
    said = [Markup("<li><b>{}</b>: {} {}</li>").format(card.name, card.claim, card.verdicts) for card in cards]
    answer = Markup("<ul>{}</ul>").format(Markup("").join(said)) if said else Markup("")
    method, table = ("frame()", analysis.final_losses) if analysis.headline.empty else ("compare()", analysis.headline)
    shown = table[[name for name in COLUMNS[method].split() if name in table]].head(ROWS)
    more = f", {len(table) - ROWS} more in results.{method}" if len(table) > ROWS else ""
    caption = f"results.{method}{more}"
    return str(
        Markup("<div><p><b>{}</b>: {}</p>{}{}</div>").format(
            join_lines(name_run(label, manifest)), count_cells(analysis, manifest), answer, _table(shown, caption)
        )
    )


def count_cells(analysis: Analysis, manifest: Mapping[str, Any]) -> str:
    """Say how much ran, how much of that failed, and what is not finished.

    Args:
        analysis: of one run.
        manifest: of the run.
    """
    cells = analysis.cells
    keys = cells[["task", "optimizer", "track"]].drop_duplicates()
    failed = cells.loc[cells["status"] != "ok", ["task", "optimizer", "track"]].drop_duplicates()
    parts = [
        f"{_count(keys['task'].nunique(), 'task')} × {_count(keys['optimizer'].nunique(), 'optimizer')}",
        f"{_count(len(keys), 'cell')} finished",
        f"{len(failed)} with failed seeds",
    ]
    if missing := len(analysis.results.unfinished):
        parts.append(f"{missing} not finished")
    environment = manifest.get("environment") or {}
    return join_lines(", ".join([*parts, f"on {environment.get('device_name') or 'an unknown device'}"]))


def _table(table: pd.DataFrame, caption: str) -> Markup:
    columns = readable(table)
    heads = Markup("").join(Markup("<th>{}</th>").format(column.title) for column in columns)
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in zip(*(column.cells for column in columns), strict=True)
    )
    return Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        escape(caption), heads, rows
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
