"""What a reader must know before quoting a number of the report."""

import pandas as pd

from l2obench.bench.stats import FLOOR
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.repetition import repetition_sentences
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.timing_load import timing_sentences


def floor_sentences(cells: pd.DataFrame) -> list[str]:
    """Whose floor was used where the results record none.

    Args:
        cells: as `l2obench.reports.reading.read_results` gives them.
    """
    tasks = cells.drop_duplicates(["task", "floor_from"]) if "floor_from" in cells else cells.iloc[:0]
    found = []
    for source, used in (("registered", "those of the installed tasks are used"), ("default", f"{FLOOR:g} is used")):
        names = list(dict.fromkeys(tasks.loc[tasks["floor_from"].eq(source), "task"])) if len(tasks) else []
        if names:
            listed = names[0] if len(names) == 1 else f"{len(names)} tasks"
            found.append(f"The results record no floor below which losses of {listed} are equal: {used}.")
    return [join_lines(sentence) for sentence in found]


def caveats(tried: pd.DataFrame) -> list[str]:
    """What holds for the numbers of every report.

    Args:
        tried: as `l2obench.reports.numbers.tuning.tuning` gives it.
    """
    found = ["Seconds are of one replica, timed alone on the machine of the run. On another machine the ratios differ."]
    if not tried.empty:
        passes = tried["passes"]
        span = f"{passes.min():,}" if passes.min() == passes.max() else f"{passes.min():,} to {passes.max():,}"
        found.append(
            f"Tuning the learning rate of one baseline took {span} forward and backward passes a task, on seeds of its "
            "own. No curve includes them."
        )
    found += [
        "No loss, curve or time includes the cost of meta-training.",
        "The best baseline is chosen on the evaluation seeds, which favours the baseline.",
        "Each interval holds at 95 % by itself. The p-values are corrected for the number of comparisons (Holm).",
        "A seed that failed counts as an infinite loss in every mean, ratio and time.",
    ]
    if tried["at_edge"].any():
        found.append("A tuned learning rate lies at the edge of its grid, so a better rate may lie beyond. See Tuning.")
    return found


def _sentences(_: pd.DataFrame, analysis: Analysis) -> list[str]:
    return [
        *timing_sentences(analysis),
        *floor_sentences(analysis.cells),
        *repetition_sentences(analysis.cells),
        *caveats(analysis.tuning),
    ]


SECTION = Section(
    name="caveats",
    title="Before you quote a number",
    sentences=_sentences,
)
