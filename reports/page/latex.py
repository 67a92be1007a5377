"""Tables for papers: LaTeX with booktabs rules. Names are data: whatever they hold, they stay text."""

import re

import pandas as pd

from l2obench.reports.formats import readable

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
    r"""A `table` environment that needs the package booktabs; numbers to the right, the same cells as in Markdown.

    It compiles with pdfLaTeX where names keep to its characters, with XeLaTeX and LuaLaTeX whatever they hold.

    Args:
        table: a table of this package; its column `learned`, which only marks rows, is left out.
        caption: plain text.
    """
    columns = readable(table.drop(columns="learned", errors="ignore"))
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
