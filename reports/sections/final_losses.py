"""Final losses of every optimizer in every track."""

from l2obench.reports.figures.curves import final_loss_drawings
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="final_losses",
    title="Final losses",
    numbers=lambda analysis: analysis.final_losses,
    caption="Final training losses of every optimizer, the lowest mean of a task first",
    introduction=(
        "The final loss of a seed is its training loss averaged over the last steps of the task. Held-out columns are "
        "on data that no optimizer trains on."
    ),
    drawings=lambda _, analysis: final_loss_drawings(analysis.plots),
    empty="Nothing ran.",
)
