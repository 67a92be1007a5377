"""The headline table: every learned optimizer against the best baseline of each task."""

from l2obench.reports.sections.section import Section

SECTION = Section(
    name="headline",
    title="Every comparison",
    numbers=lambda analysis: analysis.headline,
    caption="Final loss, learned ÷ best baseline (lower is better)",
    introduction=(
        "Each ratio divides the final loss of the learned optimizer by that of the best baseline, on the same "
        "seeds. Below 1 the learned optimizer is better. The verdict rests on the typical ratio: all seeds count "
        "alike. It is mixed where the ratio of means points the other way. The time columns divide its time by "
        "the baseline's."
    ),
)
