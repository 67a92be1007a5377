"""Held-out metrics of the learned optimizers against the best baseline of each metric."""

from l2obench.reports.figures.heldout import heldout_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="heldout",
    title="Held-out data",
    numbers=lambda analysis: analysis.heldout,
    caption="Held-out metrics at the last step, learned against the best baseline of each metric",
    introduction=(
        "Held-out metrics are on data that no optimizer trains on. Baselines are tuned for their training loss. The "
        "baseline with the best mean of the metric is taken, tuned or not. A loss is "
        "compared by its typical ratio, learned ÷ baseline. An accuracy is compared by its typical difference, "
        "learned − baseline."
    ),
    drawings=lambda _, analysis: heldout_drawings(analysis.heldout_plots, line_styles(analysis.plots)),
)
