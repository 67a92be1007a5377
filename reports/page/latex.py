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


def to_latex(table: pd.DataFrame, caption: str) -> str:
    r"""Tables in `table` environments that need the package booktabs; numbers to the right, cells as in Markdown.

    A page has room for `MOST_COLUMNS`. A wider table becomes several, each with the columns that name its rows. It
    compiles with pdfLaTeX where names keep to its characters, with XeLaTeX and LuaLaTeX whatever they hold.

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
    alignment = "".join("r" if column.numeric else "l" for column in columns)
    lines = [[escape(column.title) for column in columns]]
    lines += [[escape(cell) for cell in row] for row in zip(*(column.cells for column in columns), strict=True)]
    # A row that begins with [ would be taken for an argument of the \\ before it.
    heading, *body = [f"{{}}{' & '.join(line)} \\\\\n" for line in lines]
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{escape(caption)}}}\n"
        f"\\begin{{tabular}}{{{alignment}}}\n"
        f"\\toprule\n{heading}\\midrule\n{''.join(body)}\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def escape(text: str) -> str:
    """Escape text, so that LaTeX prints it as it is.

    Args:
        text: plain text.
    """
    return _ANY.sub(lambda found: SIGNS[found.group()], text)
