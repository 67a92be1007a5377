"""Every optimizer against tuned Adam, a fixed reference."""

from l2obench.reports.numbers.against_adam import against_adam
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="against_adam",
    title="Against tuned Adam",
    numbers=lambda analysis: against_adam(analysis.table),
    caption="Every optimizer against tuned Adam on the same seeds",
    introduction=(
        "Adam at its tuned learning rate is the fixed reference, so no row depends on a third optimizer. The table "
        "gives the share of seeds on which an optimizer ends lower than Adam, ties as half. The speed-up divides the "
        "steps that Adam needs for the optimizer's final loss by the optimizer's steps. It is the median over seeds, "
        "and ∞ where Adam does not reach that loss."
    ),
    empty="Tuned Adam did not run beside other optimizers.",
)
