"""How many trials a baseline needs until it is at least as good as an untuned learned optimizer, over all tasks."""

from l2obench.reports.figures.styles import line_styles
from l2obench.reports.figures.trials_to_match import match_drawings
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="trials_to_match",
    title="Trials to match",
    numbers=lambda analysis: analysis.matched_over_tasks,
    caption="Trials until a baseline is at least as good as an untuned learned optimizer, medians of tasks",
    introduction=(
        "A trial matches where its mean final loss is at most that of the learned optimizer, which nobody tuned. The "
        "number is the expected number of trials until the first that matches, if they are tried in a random order. A "
        "trial trains one function once: that is its cost in passes (gradients) and seconds. Trials are the rates of "
        "the grid on tuning seeds, or those of a budget on evaluation seeds. A baseline that was not tuned has one: "
        "its defaults. The columns “within k” give the share of tasks that k trials match."
    ),
    drawings=lambda _, analysis: match_drawings(analysis.trials_to_match, line_styles(analysis.plots)),
    in_page=True,
)
