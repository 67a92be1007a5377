"""Time of one step of one replica."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="step_times",
    title="Step time",
    numbers=lambda analysis: analysis.step_times,
    caption="Time of one step of one replica, and memory of the optimizer's state",
    introduction=(
        "One replica is timed alone, and the optimizers take turns step by step. The table gives medians and "
        "quartiles. The last ratios divide the time of the optimizer by Adam's."
    ),
    empty="Nothing was timed.",
)
