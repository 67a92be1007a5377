"""A tutorial as the site shows it: after each block of Python stands what the notebook of the page has for it."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from notebooks import PYTHON

STYLE = re.compile(r"<style.*?</style>", re.DOTALL)


def add_results(page: Path) -> None:
    """Put tables, texts and pictures of the notebook into a page, and the pictures beside it.

    Args:
        page: a Markdown file with a notebook of the same name beside it.
    """
    codes = [cell for cell in nbformat.read(page.with_suffix(".ipynb"), as_version=4).cells if cell.cell_type == "code"]
    parts = []
    # Split at a group: texts and codes alternate.
    for at, part in enumerate(PYTHON.split(page.read_text(encoding="utf-8"))):
        parts.append(f"```python\n{part}```\n" if at % 2 else part)
        if at % 2:
            parts += [f"\n{result}\n" for result in _results(codes[at // 2], page, at // 2)]
    page.write_text("".join(parts), encoding="utf-8")


def _results(cell: Any, page: Path, number: int) -> Iterator[str]:
    drawn = 0
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            picture = page.with_name(f"{page.stem}-{number}-{drawn}.png")
            picture.write_bytes(base64.b64decode(data["image/png"]))
            drawn += 1
            yield f"![What the code draws]({picture.name})"
        elif "text/html" in data:
            # Without the looks of a notebook, and on one line, for an empty one would end the table.
            plain = STYLE.sub("", data["text/html"]).replace('<table border="1" class="dataframe">', "<table>")
            yield re.sub(r"\s*\n\s*", "", plain)
        elif "text/plain" in data and not data["text/plain"].startswith("<Axes"):
            yield f"```text\n{data['text/plain']}\n```"
