"""Several runs side by side."""

from l2obench.reports.numbers.side_by_side import side_by_side
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="side_by_side",
    title="Runs side by side",
    numbers=lambda analysis: side_by_side(analysis.table, analysis.manifests),
    caption="Final loss, this run ÷ the first run that has the same cell, on common seeds",
    introduction=(
        "The verdict rests on the typical ratio. Only cells with the same task version, optimizer version, horizon and "
        "data are compared. For the others, the verdict says what differs."
    ),
)
