"""Tables as HTML, and the templates of the page. Names are data: whatever they hold, they stay text."""

import functools

import jinja2
import pandas as pd
from markupsafe import Markup

from l2obench.reports import formats
from l2obench.reports.figures.styles import PALETTES, colour_variables


def to_html(
    table: pd.DataFrame,
    caption: str,
    name: str = "",
    rows: int | None = None,
    limit: int = 25,
    task_links: bool = False,
) -> Markup:
    """Write a table in its own scrolling region, every name escaped.

    Where `table` is the start of a longer one, `rows` says how many that has. A `name` lets the page's script find it.

    Args:
        table: of numbers and texts; `learned` marks rows, it is no column.
        caption: above it.
        name: by which the page's script finds it; empty: it has none.
        rows: of the whole table, where this is its start.
        limit: rows that the page's script shows until a reader asks for all.
        task_links: a task links to its charts, which the page then has.
    """
    columns = formats.readable(table.drop(columns="learned", errors="ignore"))
    learned = table["learned"] if "learned" in table else [False] * len(table)
    html = (
        environment()
        .get_template("table.html.j2")
        .render(
            caption=caption,
            name=name,
            limit=limit,
            task_links=task_links,
            missing=0 if rows is None else rows - len(table),
            columns=columns,
            rows=list(zip(learned, zip(*(column.cells for column in columns), strict=True), strict=True)),
        )
    )
    return Markup(html)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of the page and of sections, escaping everything that is not marked as HTML."""
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(f"l2obench.reports.{room}") for room in ("page", "sections")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Of the style sheet, which every page includes.
    made.globals["colours"] = {background: Markup(colour_variables(background)) for background in PALETTES}
    return made
