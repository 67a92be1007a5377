"""Performance profiles: how many functions an optimizer solves within a multiple of tuned Adam's cost."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.reports.figures.interactive import profile_views
from l2obench.reports.figures.profiles import profile_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.profiles import ALL_TASKS, profile_table
from l2obench.reports.sections.section import Body, Section


def _script_data(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    return {"profiles": profile_views(analysis.profiles, ALL_TASKS)}


SECTION = Section(
    name="profiles",
    title="Performance profiles",
    below=True,
    numbers=lambda analysis: profile_table(analysis.cost_ratios),
    caption="Share of functions that reach the target within a multiple of tuned Adam's cost",
    introduction=(
        "A profile shows the share of functions that an optimizer solves at no more than τ times tuned Adam's cost. "
        "Solved means that the target loss is reached. Bands are pointwise 95 % intervals. Where Adam does not reach "
        "the target, its whole horizon counts as its cost. The chart shows the optimizers chosen under Explore."
    ),
    drawings=lambda _, analysis: profile_drawings(analysis.profiles, line_styles(analysis.plots)),
    body=Body("profiles.html.j2", lambda table, _: {"profiles": len(table)}, _script_data),
)
