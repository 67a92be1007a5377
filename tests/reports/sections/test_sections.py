"""A section is one object: a new one takes one file and one line, and page, tables and figures follow."""

import sys
import types
from pathlib import Path

import matplotlib.figure
import pytest

from l2obench.reports import sections
from l2obench.reports.figures.drawing import drawing
from l2obench.reports.page import build
from l2obench.reports.page.build import write_report
from l2obench.reports.sections import registry
from l2obench.reports.sections.registry import NAMES, load_sections
from l2obench.reports.sections.section import Section

FOLDER = Path(sections.__file__).parent
SHARED = {
    "answer_facts",
    "answer_words",
    "forest_view",
    "timing_load",
    "repetition",
    "__init__",
    "registry",
    "section",
    "words",
}


def bars() -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure()
    figure.add_subplot().bar(["bowl"], [3])
    return figure


def newcomer() -> types.ModuleType:
    """A file with a section that counts seeds."""
    module = types.ModuleType("l2obench.reports.sections.seed_counts")
    module.SECTION = Section(
        name="seed_counts",
        title="Seeds",
        caption="Seeds of every task",
        introduction="This section counts seeds.",
        numbers=lambda analysis: analysis.cells.groupby("task")["seed"].nunique().reset_index(),
        sentences=lambda table, _: [f"{row.task} has {row.seed} seeds." for row in table.itertuples()],
        drawings=lambda table, _: [drawing("seed_counts", ["bowl"], "Seeds of bowl", bars, table.copy)],
        in_page=True,
    )
    return module


def test_a_new_section_is_one_file_and_one_line(
    tmp_path: Path, cell, write_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = newcomer()
    monkeypatch.setitem(sys.modules, module.__name__, module)  # the file
    monkeypatch.setattr(registry, "NAMES", names := (*NAMES, "seed_counts"))  # the line
    monkeypatch.setattr(build, "load_sections", lambda: load_sections(names))
    run = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0, 3.0])])
    report = write_report([run], tmp_path / "report", ["png"])
    page = report.page.read_text(encoding="utf-8")
    for shown in ("This section counts seeds.", "bowl has 3 seeds.", 'href="#seed_counts"', 'alt="Seeds of bowl"'):
        assert shown in page
    assert {path.suffix for path in report.tables if path.stem == "seed_counts"} == {".md", ".csv", ".tex"}
    assert [path.suffix for path in report.figures if path.name.startswith("seed_counts--")] == [".csv", ".png"]


def test_every_file_is_registered_once() -> None:
    assert sorted(NAMES) == sorted({path.stem for path in FOLDER.glob("*.py")} - SHARED)


def test_names_are_unique_and_the_first_section_stands_alone() -> None:
    found = load_sections()
    assert len({section.name for section in found}) == len(found)
    assert not found[0].below


@pytest.mark.parametrize("section", load_sections(), ids=lambda section: section.name)
def test_words_are_whole_sentences(section: Section) -> None:
    for text in filter(None, (section.introduction, section.empty)):
        assert text[0].isupper()
        assert text.endswith(".")
    for sentence in section.introduction.replace(";", ".").replace(":", ".").split(". "):
        assert len(sentence.split()) <= 25, sentence


def test_what_has_nothing_to_show_is_left_out_or_says_so(tmp_path: Path, cell, write_run) -> None:
    page = write_report([write_run(tmp_path / "run", [cell("adam", [1.0])])], tmp_path / "report").page.read_text()
    assert 'id="recipes"' not in page
    assert "No seed failed." in page


def test_numbers_of_all_sections_are_tables(cell, frame) -> None:
    for section in load_sections():
        assert bool(section.caption) == (section.numbers is not Section("x", "x").numbers), section.name


def test_without_formats_no_figure_is_written_and_with_an_unknown_one_nothing(tmp_path: Path, cell, write_run) -> None:
    run = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0])])
    assert write_report([run], tmp_path / "report").figures == []
    assert not (tmp_path / "report" / "figures").exists()
    with pytest.raises(build.ReportError, match=r"must be of svg, pdf, png, got 'gif'. Try: --figures pdf,png"):
        write_report([run], tmp_path / "other", ["gif"])
    assert not (tmp_path / "other").exists()


def test_the_page_is_there_before_the_figures(tmp_path: Path, cell, write_run) -> None:
    run, seen = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0])]), []

    def look(done: int, total: int, what: str) -> None:
        seen.append((what, (tmp_path / "report" / "index.html").exists()))

    write_report([run], tmp_path / "report", ["svg"], on_step=look)
    assert not any(there for what, there in seen if what not in ("figures", ""))
    assert all(there for what, there in seen if what == "figures")


@pytest.mark.slow
def test_figures_are_the_same_from_several_processes(tmp_path: Path, cell, write_run) -> None:
    tasks = [cell("adam", [1.0, 2.0], task=f"bowl[dim={dim}]") for dim in range(1, 4)]
    run = write_run(tmp_path / "run", tasks)
    one, two = (write_report([run], tmp_path / str(n), ["svg"], processes=n) for n in (1, 2))
    assert [path.name for path in one.figures] == [path.name for path in two.figures]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one.figures, two.figures, strict=True))
