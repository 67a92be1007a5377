"""Tables for papers: LaTeX with booktabs rules. Names are data: whatever they hold, they stay text."""

import re
from collections.abc import Iterator

import pandas as pd

from l2obench.reports.formats import Column, readable

MOST_COLUMNS, MOST_NAMES = 7, 3
"""Columns of a table that fit on a page, and how many of them at most say what a row is about."""

SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # no ligature: two hyphens of a name stay two
    "∞": r"$\infty$",
    "−": r"$-$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "≤": r"$\leq$",
    "µ": r"\textmu{}",
    "–": "--",
    "—": "---",
}
_ANY = re.compile("|".join(map(re.escape, SIGNS)))
ROOM = 48
"""Characters of all columns up to which a table is as wide as its cells, in the text of an article."""
LONGEST = 30
"""Characters of a cell from which on its column need not be wider: the cell is broken."""
MOST_ROWS = 40
"""Rows that fit on a page."""
_BREAKS = re.compile(r"([\[,=/])(?=\S)")


def to_latex(table: pd.DataFrame, caption: str) -> str:
    r"""Tables that need the packages booktabs, array and longtable; numbers to the right, cells as in Markdown.

    A page has room for `MOST_COLUMNS`. A wider table becomes several, each with the columns that name its rows. Where
    cells are long, columns share the width of the text and break names after [, = and commas. A table of more than
    `MOST_ROWS` is a `longtable`, which goes on over pages; all others are in a `table`. It compiles with pdfLaTeX where
    names keep to its characters, with XeLaTeX and LuaLaTeX whatever they hold.

    Args:
        table: a table of this package; its column `learned`, which only marks rows, is left out.
        caption: plain text.
    """
    parts = list(_fitting(readable(table.drop(columns="learned", errors="ignore"))))
    numbers = [f" ({place} of {len(parts)})" if len(parts) > 1 else "" for place in range(1, len(parts) + 1)]
    return "\n".join(_one_table(part, caption + number) for part, number in zip(parts, numbers, strict=True))


def _fitting(columns: list[Column]) -> Iterator[list[Column]]:
    """The columns of each table: those that name a row, then as many of the others as there is room for."""
    if len(columns) <= MOST_COLUMNS:
        yield columns
        return
    texts = next((place for place, column in enumerate(columns) if column.numeric), len(columns))
    names = min(texts, MOST_NAMES)
    for first in range(names, len(columns), MOST_COLUMNS - names):
        yield columns[:names] + columns[first : first + MOST_COLUMNS - names]


def _one_table(columns: list[Column], caption: str) -> str:
    widths = [_width(column) for column in columns]
    narrow = sum(widths) > ROOM or any(len(column.title) > LONGEST for column in columns)
    cells = [
        [_breakable(cell) if narrow and not column.numeric else escape(cell) for cell in column.cells]
        for column in columns
    ]
    # A row that begins with [ would be taken for an argument of the \\ before it.
    heading, *body = [
        f"{{}}{' & '.join(line)} \\\\\n"
        for line in [tuple(escape(column.title) for column in columns), *zip(*cells, strict=True)]
    ]
    alignment = (
        _shared_width(columns, widths) if narrow else "".join("r" if column.numeric else "l" for column in columns)
    )
    size = "\\footnotesize\\setlength{\\tabcolsep}{3pt}\n" if narrow else ""
    above, rows = f"\\toprule\n{heading}\\midrule\n", "".join(body)
    if len(body) > MOST_ROWS:
        return (
            f"{{{size}\\begin{{longtable}}{{{alignment}}}\n\\caption{{{escape(caption)}}} \\\\\n{above}\\endhead\n"
            f"\\bottomrule\n\\endfoot\n{rows}\\end{{longtable}}}}\n"
        )
    return (
        f"\\begin{{table}}\n\\centering\n{size}\\caption{{{escape(caption)}}}\n\\begin{{tabular}}{{{alignment}}}\n"
        f"{above}{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def _width(column: Column) -> int:
    """Characters of a column: those of its longest cell, up to `LONGEST`, or of the longest word of its heading."""
    cell = max(map(len, column.cells), default=0)
    return max(cell if column.numeric else min(cell, LONGEST), *map(len, column.title.split()), 1)


def _shared_width(columns: list[Column], widths: list[int]) -> str:
    r"""Columns that are as wide as the text together, each in proportion to its width."""
    parts = []
    # Room between columns counts for as much beside a short cell as beside a long one.
    widths = [width + 2 for width in widths]
    for column, width in zip(columns, widths, strict=True):
        side = "\\raggedleft" if column.numeric else "\\raggedright"
        share = f"\\dimexpr {width / sum(widths):.4f}\\linewidth-2\\tabcolsep\\relax"
        parts.append(f">{{{side}\\arraybackslash}}p{{{share}}}")
    return "".join(parts)


def _breakable(cell: str) -> str:
    """A cell that may be broken inside a name, where its parameters begin."""
    return _BREAKS.sub(r"\1\\allowbreak{}", escape(cell))


def escape(text: str) -> str:
    """Escape text, so that LaTeX prints it as it is.

    Args:
        text: plain text.
    """
    return _ANY.sub(lambda found: SIGNS[found.group()], text)
