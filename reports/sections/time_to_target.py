"""Steps and seconds to the target loss of a task."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="time_to_target",
    title="Time to target",
    numbers=lambda analysis: analysis.time_to_target,
    caption="Steps and seconds to the target loss of the task, the fewest steps first",
    introduction=(
        "The target loss of a task is fixed: the median final loss of its best tuned baseline. It is stored with the "
        "task's version; where none is stored, this run's is used. Steps are the median over seeds, and ∞ where fewer "
        "than half of the seeds reach the target. Seconds are those steps times the step time of one replica."
    ),
    empty="Nothing ran.",
)
