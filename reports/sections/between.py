"""Learned optimizers against each other, counted over tasks."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="between",
    title="Learned optimizers against each other",
    below=True,
    numbers=lambda analysis: analysis.between_counts,
    caption="Final loss of learned optimizers against each other, counted over tasks",
    introduction=(
        "Each row divides the final loss of an optimizer by that of another one, on the tasks and seeds that both ran. "
        "The ratio is the median of the typical ratios of the tasks. Below 1 the first one is better."
    ),
)
