"""Trainings of one rule by the settings in which their recipes differ."""

import pandas as pd

from l2obench.reports.figures.recipes import recipe_drawings
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.recipes import recipes, write_settings
from l2obench.reports.sections.section import Section


def _recipes(analysis: Analysis) -> pd.DataFrame:
    return recipes(analysis.table, analysis.headline, analysis.manifests)


SECTION = Section(
    name="recipes",
    title="Recipes",
    below=True,
    numbers=lambda analysis: write_settings(_recipes(analysis)),
    caption="Mean final loss, learned ÷ best baseline, by the settings in which recipes differ",
    introduction=(
        "Each row is one recipe. A ratio divides the mean final loss of a training by that of the best "
        "baseline. The row gives the geometric mean over the trainings of the recipe, which differ in their seed."
    ),
    # The figures need the settings as data; the table has them in words.
    drawings=lambda _, analysis: recipe_drawings(_recipes(analysis)),
    in_page=True,
)
