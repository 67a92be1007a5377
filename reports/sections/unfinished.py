"""Cells that the run has planned and not finished."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="unfinished",
    title="Unfinished cells",
    below=True,
    numbers=lambda analysis: analysis.results.unfinished,
    caption="Cells that are planned and not finished",
    introduction="To finish them, start the run again with the command below.",
    empty="Every planned cell is finished.",
)
