"""The tutorials run as notebooks, draw their pictures, and stand beside their pages as they were last run."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from tests.markdown import ROOT

TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = sorted(TUTORIALS.glob("*.md"))
# Half a minute or more.
LONG = {"meta-train", "my-model"}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """docs/site/notebooks.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "site" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def drawing(notebook: Any) -> int:
    """How many cells draw."""
    return sum(cell.cell_type == "code" and "plot(" in cell.source for cell in notebook.cells)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_notebook_is_that_of_the_page(page: Path, maker: ModuleType) -> None:
    """Else run `make notebooks`."""
    kept = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(kept)
    assert sources(kept) == sources(maker.make_notebook(page))
    codes = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    assert not [output for cell in codes for output in cell.outputs if output.output_type == "error"]
    assert maker.pictures(kept) >= drawing(kept)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.stem in LONG else [], id=page.stem) for page in PAGES],
)
def test_the_notebook_runs(page: Path, maker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"), prepend=":")
    done = maker.run_notebook(maker.make_notebook(page))
    assert maker.pictures(done) >= drawing(done)


def test_a_tutorial_that_does_not_run_is_found(tmp_path: Path, maker: ModuleType) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n```python\nx = 1\n```\n\n```sh\nfalse\n```\n\n```python\nassert x == 2\n```\n", "utf-8"
    )
    notebook = maker.make_notebook(page)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "markdown", "code"]
    with pytest.raises(Exception, match="AssertionError"):
        maker.run_notebook(notebook)


def test_links_lead_to_other_notebooks_and_to_pages(tmp_path: Path, maker: ModuleType) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](gate.md) [b](../ci.md)", "utf-8")
    (cell,) = maker.make_notebook(page).cells
    assert cell.source == "[a](gate.ipynb) [b](../ci.md)"
