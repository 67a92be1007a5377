"""What optimizers end with if each has the same number of trials."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned, parse_budget
from l2obench.reports.cells.table import by_optimizer, join_cells
from l2obench.reports.figures.budget import budget_drawings
from l2obench.reports.figures.drawing import Drawing
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.budget import some_budgets
from l2obench.reports.numbers.counting import counted_heldout, table_of
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import format_short, name_place, records


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says: one trial and all of them, a sentence for each optimizer on a task.

    Args:
        table: as `l2obench.reports.numbers.budget.best_of_trials` gives it.
    """
    keys = [name for name in ("run", "task", "optimizer", "track") if name in table]
    return [_sentence(records(rows)) for _, rows in table.groupby(keys, sort=False)]


def _sentence(rows: list[dict[str, Any]]) -> str:
    first, last = rows[0], rows[-1]
    budget = parse_budget(last["track"])
    what = "mean held-out loss" if budget is not None and budget.heldout else "mean final loss"
    start = f"On {name_place(last)}, {last['optimizer']} has a {what} of {format_number(last['expected_best'])}"
    one = f"{format_number(first['median'])} in the median of one trial"
    failed = f" {format_short(100 * first['fails'])} % of single trials fail." if first["fails"] else ""
    return join_lines(f"{start} with the best of {last['trials']} trials, {one}.{failed}")


def untuned_learned(analysis: Analysis, heldout: bool) -> pd.DataFrame:
    """Mean losses of the learned optimizers that were not tuned.

    Args:
        analysis: of the runs.
        heldout: whether held-out losses are wanted.

    Returns:
        Columns `task`, `optimizer` and `loss`, after `run` where there are several runs.
    """
    rows = []
    for task in analysis.table.tasks:
        untuned = by_optimizer(cell for cell in task.learned_cells if not is_tuned(cell.track))
        for own in map(join_cells, untuned.values()):
            loss = counted_heldout(own, "heldout_loss", np.inf) if heldout else own.mean_loss
            rows.append(own.key("task", "optimizer") | {"loss": loss})
    return table_of(analysis.cells, ["task", "optimizer", "loss"], rows)


def _drawings(_: pd.DataFrame, analysis: Analysis) -> list[Drawing]:
    if (table := analysis.budget).empty:
        return []
    heldout = table["track"].str.startswith("heldout-").astype(bool)
    styles = line_styles(analysis.plots)
    return [
        item
        for chosen, part in ((False, table[~heldout]), (True, table[heldout]))
        for item in budget_drawings(part, untuned_learned(analysis, chosen), styles)
    ]


SECTION = Section(
    name="budget",
    title="Equal budgets",
    numbers=lambda analysis: some_budgets(analysis.budget),
    caption="Loss of the best of k trials, the same number of trials for every optimizer",
    introduction=(
        "Each optimizer has the same number of quasi-random trials of the hyperparameters that it declares. A user who "
        "runs k of them takes the one with the lowest mean on the tuning seeds. The table gives what that trial ends "
        "with on the evaluation seeds, as the mean over all sets of k trials. Bands are quartiles over these sets. "
        "Horizontal lines are learned optimizers without tuning."
    ),
    sentences=lambda table, _: sentences(table),
    drawings=_drawings,
    in_page=True,
)
