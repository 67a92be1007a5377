"""The documentation does what it says: its commands and its snippets are run as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from l2obench.tasks import FAMILIES
from tests.markdown import ROOT, code_blocks, pages

EXAMPLES = {"add-a-task.md": "ridge.py", "add-an-optimizer.md": "signum.py", "your-own-model.md": "mine.py"}
TUTORIALS = ROOT / "docs" / "tutorials"  # notebooks, whose cells share their names: tests/test_tutorials.py
# The snippets of a page run in one process, each with names of its own.
RUN_ALL = """import sys
for path in sys.argv[1:]:
    exec(compile(open(path, encoding="utf-8").read(), path, "exec"), {"__name__": "__main__"})
"""


def blocks(page: Path, *languages: str) -> list[str]:
    return [code.text for code in code_blocks(page) if code.language in languages and code.not_run is None]


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run_snippets(snippets: list[str], folder: Path) -> None:
    for at, snippet in enumerate(snippets):
        (folder / f"snippet_{at}.py").write_text(snippet, encoding="utf-8")
    run([sys.executable, "-c", RUN_ALL, *(f"snippet_{at}.py" for at in range(len(snippets)))], folder)


@pytest.mark.parametrize(("page", "file"), EXAMPLES.items())
def test_the_examples_run_as_they_stand(tmp_path: Path, page: str, file: str) -> None:
    path = ROOT / "docs" / page
    assert f"`{file}`" in path.read_text(encoding="utf-8")
    first, *others = blocks(path, "python")
    (tmp_path / file).write_text(first, encoding="utf-8")
    (commands,) = blocks(path, "sh")
    script = f'l2obench() {{ "{Path(sys.executable).parent / "l2obench"}" "$@"; }}\nset -e\n{commands}'
    run(["bash", "-c", script], tmp_path)
    (cells,) = tmp_path.glob("results/*/cells")
    assert set(pd.read_parquet(cells)["status"]) == {"ok"}
    assert list(tmp_path.glob("results/*/report/index.html"))
    if others:
        run_snippets(others, tmp_path)


@pytest.mark.parametrize(
    "page",
    [page for page in pages() if page.name not in EXAMPLES and page.parent != TUTORIALS and blocks(page, "python")],
    ids=lambda page: page.name,
)
def test_python_snippets_run_as_they_stand(tmp_path: Path, page: Path) -> None:
    """Beside the results of the checkout, which some of them read."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    run_snippets(blocks(page, "python"), tmp_path)


def test_a_snippet_that_is_not_run_says_why() -> None:
    reasons = [code.not_run for page in pages() for code in code_blocks(page) if code.not_run is not None]
    assert all(len(reason.split()) > 2 for reason in reasons)


def test_the_page_of_tasks_names_every_family() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` (?:\|.*){4}\|$", (ROOT / "docs" / "tasks.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(rows) == set(FAMILIES)


L2OBENCH = f'l2obench() {{ "{Path(sys.executable).parent / "l2obench"}" "$@"; }}'
"""The command of this environment, for shells without its folder on the path."""


@pytest.mark.slow
def test_the_two_runs_of_the_page_are_compared(tmp_path: Path) -> None:
    run(["bash", "-e", "-c", "\n".join([L2OBENCH, *blocks(ROOT / "docs" / "ci.md", "sh")])], tmp_path)
