"""Pictures that optimizers made, step by step, on tasks whose parameters are a picture."""

from l2obench.reports.figures.pictures import picture_drawings
from l2obench.reports.sections.section import Section

SECTION = Section(
    name="pictures",
    title="Pictures",
    introduction=(
        "Each row shows the pictures of one optimizer on one seed, from left to right by step. The loss stands below "
        "each picture, and the lowest final loss comes first. All optimizers start from the same noise."
    ),
    drawings=lambda _, analysis: picture_drawings(analysis.cells, analysis.results.pictures),
    in_page=True,
)
