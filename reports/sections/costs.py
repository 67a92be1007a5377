"""What one trajectory, tuning and meta-training cost."""

from l2obench.reports.figures.costs import cost_drawings
from l2obench.reports.numbers.costs import costs
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="costs",
    title="All costs",
    below=True,
    numbers=lambda analysis: costs(analysis.table, analysis.manifests, analysis.results.timing),
    caption="Cost of one trajectory, of tuning and of meta-training",
    introduction=(
        "Passes are those of one seed. FLOPs and bytes are of one update, for each parameter, without the gradient. "
        "What was not measured is missing; it is not 0."
    ),
    drawings=lambda table, _: cost_drawings(table),
    empty="Nothing ran.",
)
