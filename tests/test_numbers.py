"""Numbers in prose: each is that of its row, or is counted where it has none."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.markdown import ROOT

SITE = ROOT / "docs" / "site"
# A page each: workers of xdist share them.
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def bound() -> Iterator[ModuleType]:
    """The program of docs/site, whose modules find each other by the folder of the program."""
    sys.path.insert(0, str(SITE))
    try:
        yield importlib.import_module("bound_numbers")
    finally:
        sys.path.remove(str(SITE))


@pytest.mark.parametrize("page", PAGES)
def test_every_bound_number_is_that_of_its_row(bound: ModuleType, page: str) -> None:
    lines = [line for line in bound.load()[0] if line.page == page]
    found = [f"{line.page}: {now}\n  rows say: {wanted}" for line, _, now, wanted in bound.differences(lines)]
    assert not found, "\n".join([*found, "Try: python docs/site/bound_numbers.py"])


def test_a_number_without_a_row_is_counted(bound: ModuleType) -> None:
    lines, sections = bound.load()
    for page in bound.pages():
        counted = {item.heading: item.numbers for item in sections if item.page == page}
        assert bound.count_unbound(lines, page) == counted, (
            f"{page}: a number was written or taken out. Bind it to its row in docs/numbers, with a [[line]]; "
            "python docs/site/bound_numbers.py --unbound lists those without a row"
        )


def test_no_line_is_bound_twice(bound: ModuleType) -> None:
    lines, _ = bound.load()
    places = [(line.page, bound.place(line, (ROOT / line.page).read_text(encoding="utf-8"))[0]) for line in lines]
    assert len(places) == len(set(places))


def test_a_wrong_number_is_found_and_written(
    bound: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    value = {"of": "quick/losses", "where": {"task": "mnist-mlp", "optimizer": "nag", "track": "tuned"}}
    line = bound.Line("page.md", "NAG ends at {}.", ({**value, "column": "mean", "as": ".3f"},))
    (tmp_path / "page.md").write_text("# Page\n\nNAG ends at 0.200.\n\nAdam too.\n", encoding="utf-8")
    monkeypatch.setattr(bound, "ROOT", tmp_path)
    monkeypatch.setattr(bound, "load", lambda: ([line], []))
    assert bound.count_unbound([line], "page.md") == {}
    assert bound.count_unbound([], "page.md") == {"Page": 1}
    assert bound.main(["--check"]) == 1
    assert bound.main([]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "# Page\n\nNAG ends at 0.182.\n\nAdam too.\n"
    assert bound.main(["--check"]) == 0


def test_a_row_that_is_not_there_is_an_error(bound: ModuleType) -> None:
    value = {"of": "quick/losses", "where": {"task": "no such"}, "column": "mean", "as": ".3f"}
    with pytest.raises(ValueError, match="must have one row of"):
        bound.numbers(bound.Line("page.md", "{}", (value,)))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("| `adam[lr=0.1]`, 100 steps | **0.40** (0.33–0.48) | 89 % of 20 seeds |", ["0.40", "0.33", "0.48", "89"]),
        ("lower on 20 of 20, 2.3e-10 and 1,757 times", ["20", "20", "2.3e-10", "1,757"]),
        ("at rate 0.01, a win rate 0.89, wandb 0.31, widths 784–64–16, for 100, 500 and 2,000 steps", ["0.89"]),
        ("2026-11-24, Python 3.11, section 3.1, [figure](images/a2.png), 95 % of 40 units", []),
    ],
)
def test_code_dates_and_settings_are_no_results(bound: ModuleType, line: str, found: list[str]) -> None:
    numbers = importlib.import_module("page_numbers").numbers_of(line)
    assert [token.text for token in numbers] == found
