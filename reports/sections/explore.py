"""The interactive charts of one task: learning curves, final losses, cost against loss, learning-rate landscape."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.reports.figures.curves import curve_drawings
from l2obench.reports.figures.interactive import by_task, detail, task_view
from l2obench.reports.figures.styles import optimizers_of, page_styles
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Body, Section


def _script_data(_: pd.DataFrame, analysis: Analysis) -> Mapping[str, Any]:
    """An index of all tasks, and a part for each, which the script unpacks when the task is chosen."""
    fine, tasks = detail(analysis.plots), list(by_task(analysis.plots).values())
    index = {
        "tasks": [join_lines(parts[0].task) for parts in tasks],
        "runs": list(analysis.manifests),
        "styles": page_styles(optimizers_of(analysis.plots)),
    }
    profiles, heldout = by_task(analysis.profiles), by_task(analysis.heldout_plots)
    views = {
        f"task-{k}": task_view(parts, fine, profiles.get(parts[0].task, []), heldout.get(parts[0].task, []))
        for k, parts in enumerate(tasks)
    }
    return {"index": index, **views}


def _values(analysis: Analysis) -> Mapping[str, Any]:
    return {"tasks": len(analysis.plots), "heldout": bool(analysis.heldout_plots)}


SECTION = Section(
    name="explore",
    title="One task",
    drawings=lambda _, analysis: curve_drawings(analysis.plots),
    body=Body("explore.html.j2", lambda _, analysis: _values(analysis), _script_data),
)
