"""The page as HTML: a loop over the sections, and the numbers packed for the script that draws its charts."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from l2obench.reports.figures.drawing import Drawing, svg
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.page import charting
from l2obench.reports.page.html import environment, to_html
from l2obench.reports.page.packing import pack, table_view
from l2obench.reports.sections.environment import about, name_run
from l2obench.reports.sections.section import Section

ROWS_WITHOUT_SCRIPT = 25
"""Rows of a table that stand in the page as they are; its script has the others."""


@dataclass(frozen=True)
class Part:
    """A section as the page's template shows it."""

    section: Section
    body: Markup
    images: list[tuple[Drawing, str]]
    sentences: list[str]
    table: Markup | None
    script_data: Mapping[str, Any]
    below: list["Part"] = field(default_factory=list)

    @property
    def missing(self) -> bool:
        """Whether it has nothing to show, so that its sentence for that case stands there."""
        return not (self.table or self.sentences or self.images or self.body.strip())


def render(
    analysis: Analysis,
    sections: Sequence[Section],
    frames: Mapping[str, pd.DataFrame],
    library: str,
    with_figures: bool,
) -> str:
    """The page: words and the first rows of tables as HTML, numbers packed for its script.

    Args:
        analysis: of the runs.
        sections: in the order of the page.
        frames: the numbers of every section, by its name.
        library: the script that draws the charts.
        with_figures: whether files of figures are beside the page.
    """
    parts = [part for part in (_part(section, frames[section.name], analysis) for section in sections) if part]
    tree: list[Part] = []
    for part in parts:
        (tree[-1].below if part.section.below and tree else tree).append(part)
    manifests = analysis.manifests.items()
    failed = int((analysis.cells["status"] != "ok").sum())
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=" and ".join(dict.fromkeys(name_run(label, manifest) for label, manifest in manifests)),
            runs=[(label, about(manifest)) for label, manifest in manifests],
            failed=failed,
            unfinished=len(analysis.results.unfinished),
            seeds=len(analysis.cells),
            parts=tree,
            figures=with_figures,
            packed={name: pack(data) for part in parts for name, data in part.script_data.items()},
            library=Markup(library),
            library_versions=charting.versions(),
        )
    )


def _part(section: Section, frame: pd.DataFrame, analysis: Analysis) -> Part | None:
    """A section with what it shows; None where it has nothing to show and no sentence for that case."""
    body, data = Markup(), dict[str, Any]()
    if section.body is not None:
        template = environment().get_template(section.body.template)
        body = Markup(template.render(**section.body.values(frame, analysis)))
        data = dict(section.body.script_data(frame, analysis))
    table = None
    if not frame.empty:
        limit = section.rows or ROWS_WITHOUT_SCRIPT
        table = to_html(frame.head(limit), section.caption, section.name, len(frame), limit, task_links=True)
        data[f"table-{section.name}"] = table_view(frame, section.caption)
    drawings = section.drawings(frame, analysis) if section.in_page else ()
    images = [(drawing, _data_uri(drawing)) for drawing in drawings]
    part = Part(section, body, images, section.sentences(frame, analysis), table, data)
    return None if part.missing and not section.empty else part


def _data_uri(drawing: Drawing) -> str:
    """The figure as an image: inside one, names that a figure shows cannot become markup of the page."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(drawing)).decode()}"
