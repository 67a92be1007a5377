"""Learning rates that tuning chose, and what tuning cost."""

from l2obench.reports.figures.curves import landscape_drawings
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="tuning",
    title="Tuning",
    numbers=lambda analysis: analysis.tuning,
    caption="Learning rates chosen by the mean final loss on the tuning seeds",
    introduction=(
        "Tuning uses seeds of its own. A learning rate at the edge of its grid is marked: a better one may lie beyond "
        "it."
    ),
    drawings=lambda _, analysis: landscape_drawings(analysis.plots),
    empty="Nothing was tuned.",
)
