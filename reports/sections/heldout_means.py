"""Means of the held-out metrics of every optimizer."""

from l2obench.reports.numbers.heldout import heldout_means
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="heldout_means",
    title="Held-out metrics of all optimizers",
    below=True,
    numbers=lambda analysis: heldout_means(analysis.table, analysis.manifests),
    caption="Mean of every held-out metric at the last step, the best of a task first",
    introduction="A seed that failed counts as the worst value: accuracy 0, any other metric infinite.",
)
