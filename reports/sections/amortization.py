"""After how many uses the meta-training of a learned optimizer has paid for itself."""

import numpy as np
import pandas as pd

from l2obench.reports.figures.amortization import amortization_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.amortization import EACH, EVALUATIONS, ONCE, SECONDS, amortization
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import name_place


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says, one entry for each learned optimizer on a task.

    Args:
        table: as `l2obench.reports.numbers.amortization.amortization` gives it.
    """
    keys = [name for name in ("run", "task", "optimizer") if name in table]
    return [_sentence(rows) for _, rows in table.groupby(keys, sort=False)]


def _sentence(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    pair = f"{first['optimizer']} against {first['baseline']}"
    where = name_place({str(name): value for name, value in first.items()})
    if np.isposinf(rows["break_even"]).all():
        return join_lines(f"On {where}, meta-training never pays for {pair}.")
    units = [f"In {unit}, {_uses(rows[rows['unit'] == unit])}." for unit in (EVALUATIONS, SECONDS)]
    return join_lines(f"On {where}, meta-training of {pair}: {' '.join(units)}")


def _uses(rows: pd.DataFrame) -> str:
    even = rows.set_index("tuned")["break_even"].astype(float)
    once, each = _after(even[ONCE]), _after(even[EACH])
    return f"{once} if the baseline is tuned once for the family, {each} if it is tuned on each problem"


def _after(break_even: float) -> str:
    if np.isnan(break_even):
        return "it is not known when it pays"
    if np.isinf(break_even):
        return "it never pays"
    return f"it pays after {format_number(break_even)} {'use' if break_even == 1 else 'uses'}"


SECTION = Section(
    name="amortization",
    title="Amortization: when meta-training pays",
    below=True,
    numbers=lambda analysis: amortization(
        analysis.table, analysis.results.tuning, analysis.results.trials, analysis.manifests
    ),
    caption="Uses after which meta-training has paid for itself against the best tuned baseline",
    introduction=(
        "A use brings one new function to the loss that the best tuned baseline ends with on it. Meta-training is "
        "paid once. The baseline is charged for its tuning in two ways. Once for the family: its rate is tuned on the "
        "protocol's tuning functions, and serves all uses. On each problem: every use tries the same rates on its own "
        "function."
    ),
    sentences=lambda table, _: sentences(table),
    drawings=lambda table, analysis: amortization_drawings(table, line_styles(analysis.plots)),
)
