"""How many trials a baseline needs until it is at least as good as an untuned learned optimizer, task by task."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="trials_by_task",
    title="Trials to match, task by task",
    below=True,
    numbers=lambda analysis: analysis.trials_to_match,
    caption="Trials until a baseline is at least as good as an untuned learned optimizer, and what they cost",
    introduction="Of the trials that were tried, so many match. An infinite number means that none did.",
)
