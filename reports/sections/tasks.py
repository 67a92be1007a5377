"""The table of tasks: a row for each task and learned optimizer, with loss, held-out data, time and trials."""

import pandas as pd

from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.leaders import leaders
from l2obench.reports.sections.section import Section

RENAMED = {"familiarity": "families", "trials": "trials_to_match", "typical_low": "low", "typical_high": "high"}
RENAMED |= {"heldout_typical": "heldout_ratio"}
COLUMNS = ["task", "typical_ratio", "low", "high", "verdict", "heldout_ratio", "step_time_ratio"]
COLUMNS += ["target_time_ratio", "trials_to_match", "families", "seeds", "failures", "heldout_low", "heldout_high"]
COLUMNS += ["heldout_verdict", "update_time_ratio", "baseline", "baseline_track", "class_verdict"]
OPTIMIZER = ["optimizer", "track"]


def numbers(analysis: Analysis) -> pd.DataFrame:
    """The rows of the table; where no learned optimizer ran, the leader of each task.

    Args:
        analysis: of the runs.
    """
    if not analysis.answers:
        return leaders(analysis.final_losses)
    found = analysis.by_task.rename(columns=RENAMED)
    is_ratio = found["measure"].eq("ratio")
    found = found.assign(typical_ratio=found["typical"].where(is_ratio))
    several = len(analysis.answers) > 1
    # Where they tell nothing apart, the optimizer's columns stand last.
    columns = [COLUMNS[0], *OPTIMIZER, *COLUMNS[1:]] if several else [*COLUMNS, *OPTIMIZER]
    columns = [*(["run"] if "run" in found else []), *columns]
    if not is_ratio.all():
        found["typical_difference"] = found["typical"].where(~is_ratio)
        columns.insert(columns.index("typical_ratio") + 1, "typical_difference")
    return found[columns]


SECTION = Section(
    name="tasks",
    title="Tasks",
    numbers=numbers,
    caption="Every task: learned ÷ best baseline (lower is better); where nothing learned ran, the lowest mean loss",
    introduction="Choose a task to see its curves, costs, tuning and failures below.",
    rows=15,
)
