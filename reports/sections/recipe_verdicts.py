"""What holds for a recipe, over its trainings and seeds."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.sections.section import Section
from l2obench.reports.sections.words import format_short, name_place, records


def sentences(table: pd.DataFrame) -> list[str]:
    """What the table says, a sentence for each recipe and task.

    Args:
        table: as `l2obench.reports.numbers.recipe_verdicts.recipe_verdicts` gives it.
    """
    return [join_lines(_sentence(row)) for row in records(table)]


def _sentence(row: dict[str, Any]) -> str:
    recipe, where = f"the recipe of {row['trainings']} trainings of {row['rule']}", f"On {name_place(row)}, "
    if row["verdict"].startswith("not comparable"):
        return f"{where}{recipe} is {row['verdict']}."
    other = f"the best baseline ({row['baseline']})"
    claim = {
        "better": f"{recipe} reaches a lower loss than {other}",
        "worse": f"{recipe} reaches a higher loss than {other}",
        "too few trainings": f"{recipe} has too few for a verdict against {other}",
        "seeds failed": f"{recipe} has no verdict against {other}, because {row['failures']} seeds failed",
    }.get(row["verdict"], f"{recipe} and {other} do not differ clearly")
    spread = ""
    if np.isfinite(row["between_trainings"]):
        factor = format_short(np.exp(row["between_trainings"]))
        spread = f" Trainings differ by a factor of {factor} (one standard deviation)."
    return (
        f"{where}{claim}: typical ratio {format_short(row['typical_ratio'])}× (95 % interval "
        f"{format_short(row['typical_low'])}–{format_short(row['typical_high'])}) over trainings and {row['seeds']} "
        f"seeds. Single trainings have "
        f"{format_short(row['lowest'])}× to {format_short(row['highest'])}×.{spread}"
    )


def _numbers(analysis: Analysis) -> pd.DataFrame:
    return analysis.recipe_verdicts


SECTION = Section(
    name="recipe_verdicts",
    title="Recipes over their trainings",
    below=True,
    numbers=_numbers,
    caption="Final loss, recipe ÷ best baseline, over trainings and seeds",
    introduction=(
        "Checkpoints whose recipes differ in nothing but the seed are trainings of one recipe. The typical ratio is a "
        "geometric mean over trainings and seeds. Its interval speaks for new trainings and new seeds, so it is wider "
        "than that of one checkpoint. A verdict needs three trainings."
    ),
    sentences=lambda table, _: sentences(table),
)
