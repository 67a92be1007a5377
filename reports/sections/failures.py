"""Seeds that failed, and why."""

from l2obench.reports.numbers.failures import failures
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="failures",
    title="Failures",
    numbers=lambda analysis: failures(analysis.table),
    caption="Seeds that failed, by reason",
    introduction="A seed that failed stays in every table and counts as an infinite loss.",
    empty="No seed failed.",
)
