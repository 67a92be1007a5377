"""Where a learned optimizer was trained, and how it does on tasks that it was not trained on."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.reports.figures.generalization import transfer_drawings
from l2obench.reports.figures.interactive import plain
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.generalization import generalization
from l2obench.reports.sections.section import Body, Section


def heat_map(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the table for its interactive map: ratios as numbers and as text.

    Args:
        table: of ratios.
    """
    return [
        {str(name): plain(value) for name, value in row.items()} | {"shown": format_number(float(row["typical_ratio"]))}
        for row in table.to_dict("records")
    ]


def _script_data(table: pd.DataFrame, _: Analysis) -> Mapping[str, Any]:
    return {"heat": heat_map(table)}


SECTION = Section(
    name="generalization",
    title="Generalization",
    numbers=lambda analysis: generalization(analysis.table, analysis.headline, analysis.manifests),
    caption="Final loss, learned ÷ best baseline, by the task that the optimizer was trained on",
    introduction=(
        "Each learned optimizer ran on tasks that it was trained on and on others. A cell shows the typical ratio of "
        "its final loss to that of the best baseline. Below 1 the learned optimizer is better. Frames mark the "
        "tasks of its training."
    ),
    drawings=lambda table, _: transfer_drawings(table),
    empty="No learned optimizer ran.",
    body=Body("generalization.html.j2", lambda table, _: {"cells": len(table)}, _script_data),
)
