"""Learned optimizers against learned initialisations: final losses from every start of a task."""

from l2obench.reports.figures.starts import start_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.numbers.starts import starts
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="starts",
    title="Starts",
    below=True,
    numbers=lambda analysis: starts(analysis.cells, analysis.final_losses),
    caption="Mean final loss of every optimizer from every start of a task",
    introduction=(
        "Some tasks start from a learned initialisation instead of a random one. A point is a mean final loss with "
        "its 95 % interval. An ∞ at the upper edge marks an optimizer that diverged on some seed."
    ),
    drawings=lambda table, analysis: start_drawings(table, line_styles(analysis.plots)),
    in_page=True,
)
