"""Makes the notebooks of the tutorials: the pages are their source, so text and code are written once.

Prose becomes Markdown cells, Python becomes code cells. The other code is shown. `make notebooks` also runs them.

    python docs/site/notebooks.py
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
POINTER = re.compile(r"^This page is also \[a notebook\].*\n\n", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
SECONDS = 600  # that a cell may take


def make_notebook(page: Path) -> NotebookNode:
    """The notebook of a page, not yet run.

    Args:
        page: a Markdown file.
    """
    notebook = new_notebook(metadata=KERNEL)
    text = POINTER.sub("", page.read_text(encoding="utf-8"))
    # Split at a group: texts and codes alternate.
    for at, part in enumerate(PYTHON.split(text)):
        if part.strip():
            cell = new_code_cell(part.rstrip("\n")) if at % 2 else new_markdown_cell(_for_notebooks(part.strip()))
            # Not by chance, so that an unchanged page gives an unchanged file.
            cell["id"] = f"cell-{len(notebook.cells)}"
            notebook.cells.append(cell)
    return notebook


def run_notebook(notebook: NotebookNode) -> NotebookNode:
    """Run all cells in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=SECONDS, record_timing=False, resources={"metadata": {"path": folder}}
        )
        # Another backend of matplotlib, such as that of the tests, would draw no pictures into the notebook.
        return client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})


def pictures(notebook: NotebookNode) -> int:
    """How many pictures its cells have drawn."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def _for_notebooks(text: str) -> str:
    """Links between pages lead to the same pages from a notebook beside them, but a tutorial to its notebook."""
    return re.sub(r"\]\(([a-z-]+)\.md\)", r"](\1.ipynb)", text)


if __name__ == "__main__":
    for page in sorted(TUTORIALS.glob("*.md")):
        if len(sys.argv) == 1 or page.stem in sys.argv[1:]:
            made = run_notebook(make_notebook(page))
            nbformat.write(made, page.with_suffix(".ipynb"))
            print(f"{page.with_suffix('.ipynb')}: {pictures(made)} pictures")
