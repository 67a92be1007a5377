"""The report as a whole: what is in it, what it survives, and what it refuses to replace."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.figures.canvas import FORMATS
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.page import build
from l2obench.reports.page.build import ReportError, write_report
from l2obench.reports.page.terminal import headline_text
from l2obench.reports.reading import ReportData, read_results

INF = float("inf")
LEARNED = {"learned": True, "track": "default"}
FIGURES = ("curves", "seconds", "final", "landscape", "profile", "trials-to-match")
HOSTILE = '=<script>alert("x")</script>|$\\frac$ _\n[b]'


class Page(HTMLParser):
    """Elements with their attributes, headings by level, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, cell, write_run):
    """A learned optimizer that wins, baselines with and without failures, one with a hostile name, a missing cell."""
    cells = [
        cell("sgd", [4.0, 6.0, 5.0]),
        cell("adam", [2.0, 4.0, 3.0], heldout_accuracy=0.9, heldout_loss=0.3),
        cell("nag", [1.0, INF, 1.0]),
        cell("lstm[checkpoint=toy]", [1.0, 2.0, 1.5], learned=True, track="default", seconds=(2e-4, 7e-4)),
        cell(HOSTILE, [None, None, None], track="default", seconds=(None, None)),
    ]
    planned = [{"task": "bowl", "optimizer": name, "track": "tuned", "seeds": 3} for name in ("sgd", "rmsprop")]
    return write_run(tmp_path_factory.mktemp("runs") / "toy", cells, cells=planned)


@pytest.fixture(scope="module")
def report(run_folder, tmp_path_factory):
    return write_report([run_folder], tmp_path_factory.mktemp("reports") / "report", FORMATS)


@pytest.fixture(scope="module")
def page(report):
    return Page(report.page)


@pytest.fixture
def small_run(tmp_path, cell, write_run):
    return write_run(tmp_path / "small", [cell("adam", [1.0, 2.0])])


class TestContent:
    def test_answer_is_a_plain_sentence(self, page):
        sentence = (
            "lstm[checkpoint=toy], untuned: on its only task its training loss ends lower than that of tuned adam; "
            "typical ratio 0.5×. No task has the seeds for a verdict of its own."
        )
        assert sentence in page.text

    def test_step_time_is_a_multiple_of_adams(self, page):
        assert "A step takes 3 times adam’s, its update 7 times" in page.text

    def test_failures_and_unfinished_cells_stand_at_the_top(self, page):
        top = page.text.split("lstm[checkpoint=toy], untuned:")[0]
        assert "4 of 15 seeds failed." in " ".join(top.split())
        assert "1 planned cell is not finished." in " ".join(top.split())
        assert "rmsprop" in page.text

    def test_environment_sources_and_command_are_there(self, page):
        for fact in ("AMD EPYC", "0123abcd, with uncommitted changes", "real digits", "ab12", "l2obench run toy"):
            assert fact in page.text

    def test_every_table_is_written_in_all_formats(self, report):
        names = {
            "tasks",
            "between",
            "headline",
            "final_losses",
            "time_to_target",
            "step_times",
            "tuning",
            "failures",
            "unfinished",
        }
        names |= {
            "against_adam",
            "profiles",
            "costs",
            "generalization",
            "past_the_horizon",
            "side_by_side",
            "amortization",
            "recipes",
            "wins",
            "starts",
            "heldout",
            "heldout_means",
            "recipe_verdicts",
            "budget",
            "trials_to_match",
            "trials_by_task",
        }
        ends = ("md", "csv", "tex")
        assert {path.name for path in report.tables} == {f"{name}.{end}" for name in names for end in ends}

    def test_every_figure_is_in_all_formats(self, report):
        kinds = {(path.name.partition("--")[0], path.suffix) for path in report.figures}
        assert kinds == {(kind, f".{end}") for kind in FIGURES for end in (*FORMATS, "csv")}
        for path in report.figures:
            if path.suffix == ".svg":
                ElementTree.parse(path)
            elif path.suffix == ".csv":
                pd.read_csv(path)
            else:
                assert path.read_bytes().startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix])

    def test_figures_for_papers_have_truetype_fonts_and_the_width_of_a_page(self, report):
        """Publishers refuse Type 3 fonts; a figure that is scaled has type of another size."""
        drawn = [path for path in report.figures if path.suffix == ".pdf"]
        for path in drawn:
            content = path.read_bytes()
            assert b"/Type3" not in content
            assert b"/FontFile2" in content
            width = float(re.search(rb"/MediaBox \[ 0 0 ([0-9.]+)", content)[1])
            if not path.name.startswith(("pictures--", "recipes-map--")):
                assert width == pytest.approx(6.8 * 72), path.name

    def test_headline_of_the_report_is_that_of_the_terminal(self, report, run_folder):
        assert report.headline == headline_text(Analysis(read_results([run_folder])))


class TestSafety:
    def test_hostile_names_become_no_markup(self, page):
        ours = {"library", "page"}
        assert all(script["id"] in ours or script["type"] == "text/plain" for script in page.all("script"))
        assert {name for _, attributes in page.elements for name in attributes if name.startswith("on")} == set()
        assert '<script>alert("x")</script>' in page.text
        assert '<script>alert("x")' not in page.source

    def test_hostile_names_become_no_formula(self, report):
        for path in report.tables:
            if path.suffix == ".csv":
                assert not re.search(r"(^|,)\"?=", path.read_text(encoding="utf-8"), re.MULTILINE)

    def test_page_loads_nothing(self, page):
        links = [attributes.get(key) for _, attributes in page.elements for key in ("src", "href") if key in attributes]
        assert links
        assert all(link.startswith(("#", "data:image/")) for link in links)
        assert not page.all("link")
        style = page.source.partition("<style>")[2].partition("</style>")[0]
        assert "@import" not in style
        assert "url(" not in style

    def test_file_names_are_plain(self, report):
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", path.name) for path in report.figures)


class TestAccess:
    def test_language_and_headings_in_order(self, page):
        assert page.all("html")[0]["lang"] == "en"
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))

    def test_charts_have_words_and_tables_captions(self, page):
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        charts = [attributes for _, attributes in page.elements if attributes.get("role") == "figure"]
        assert len(charts) == 6
        assert all(set(chart["aria-labelledby"].split()) <= ids for chart in charts)
        assert len(page.all("caption")) == len(page.all("table")) > 0
        assert all("scope" in header for header in page.all("th"))

    def test_links_inside_the_page_lead_somewhere(self, page):
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        assert {link["href"].removeprefix("#").partition("?")[0] for link in page.all("a")} <= ids


def test_same_results_give_the_same_bytes(run_folder, report, tmp_path):
    again = write_report([run_folder], tmp_path / "again", FORMATS)
    for old, new in zip([*report.tables, *report.figures], [*again.tables, *again.figures], strict=True):
        assert old.name == new.name
        assert old.read_bytes() == new.read_bytes()
    assert report.page.read_bytes() == again.page.read_bytes()


class TestPlace:
    def test_foreign_folder_is_refused_and_untouched(self, small_run, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").write_text("years of work")
        with pytest.raises(
            ReportError, match=r"exists and is not a report of l2obench\. Try: another folder with --out"
        ):
            write_report([small_run], tmp_path / "mine")
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]

    def test_run_itself_is_refused(self, small_run):
        with pytest.raises(ReportError, match="is not a report"):
            write_report([small_run], small_run)
        assert not RunFolder(small_run).read("cells").empty

    def test_file_is_refused(self, small_run, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ReportError, match="is not a report"):
            write_report([small_run], tmp_path / "file")

    def test_place_that_cannot_be_written_is_told(self, small_run, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ReportError, match="cannot be written"):
            write_report([small_run], tmp_path / "file" / "report")

    def test_earlier_report_and_empty_folder_are_replaced(self, small_run, tmp_path):
        target = tmp_path / "deep" / "report"
        target.mkdir(parents=True)
        write_report([small_run], target)
        (target / "stale.txt").write_text("from an older version")
        write_report([small_run], target)
        assert sorted(path.name for path in target.iterdir()) == [".l2obench-report", "index.html", "tables"]
        assert [path.name for path in target.parent.iterdir()] == ["report"]

    def test_failure_half_way_keeps_the_earlier_report(self, small_run, tmp_path, monkeypatch):
        target = tmp_path / "out" / "report"
        before = write_report([small_run], target).page.read_bytes()

        def fail(*_):
            raise RuntimeError("no more ink")

        monkeypatch.setattr(build, "render", fail)
        with pytest.raises(RuntimeError, match="no more ink"):
            write_report([small_run], target)
        assert (target / "index.html").read_bytes() == before
        assert [path.name for path in target.parent.iterdir()] == ["report"]

    def test_report_may_lie_in_its_run_and_be_made_again(self, small_run):
        write_report([small_run], small_run / "report")
        assert write_report([small_run], small_run / "report").page.is_file()

    def test_folder_that_is_no_run_is_refused(self, tmp_path):
        with pytest.raises(StoreError, match="is no run"):
            write_report([tmp_path / "nothing"], tmp_path / "report")

    def test_run_without_cells_is_refused(self, tmp_path, write_run):
        empty = write_run(tmp_path / "empty", [])
        with pytest.raises(ReportError, match="has no finished cells"):
            write_report([empty], tmp_path / "report")
        assert not (tmp_path / "report").exists()

    def test_manifest_may_say_next_to_nothing(self, tmp_path, cell, write_run):
        nothing = dict.fromkeys(("suite", "description", "command", "started", "environment", "sources", "cells"))
        run = write_run(tmp_path / "bare", [cell("adam", [1.0, 2.0])], **nothing)
        assert "Report on bare" in Page(write_report([run], tmp_path / "report").page).text

    def test_a_run_without_a_suite_is_titled_after_its_tasks(self, tmp_path, cell, write_run):
        run = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0])], suite="custom")
        assert "Report on bowl" in Page(write_report([run], tmp_path / "report").page).text

    def test_two_runs_of_one_name_are_told_apart(self, tmp_path, cell, write_run):
        runs = [
            write_run(tmp_path / side / "toy", [cell("adam", [2.0, 2.0]), cell("lstm", [loss] * 2, learned=True)])
            for side, loss in (("a", 1.0), ("b", 3.0))
        ]
        report = write_report(runs, tmp_path / "report")
        text = Page(report.page).text
        assert "lstm, tuned in toy: on its only task its training loss ends lower than that of tuned adam" in text
        assert "lstm, tuned in toy (2): on its only task its training loss ends higher than that of tuned adam" in text
        assert "Against toy, on 1 common task: lower on 0, equal on 0, higher on 1; typical ratio 3×." in text
        assert "lstm, tuned in toy (2)" in report.headline

    def test_run_without_learned_optimizers_names_the_best(self, small_run, tmp_path):
        text = Page(write_report([small_run], tmp_path / "report").page).text
        assert "No learned optimizer ran" in text
        assert "adam 1 task of 1 family" in " ".join(text.split())


class TestReading:
    def test_seconds_come_from_the_last_timing_pass(self, tmp_path, cell, write_run):
        run = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0], update_seconds=0.5)])
        timing = RunFolder(run).read("timing").iloc[0].dropna().to_dict() | {"reason": None, "update_seconds": 0.25}
        RunFolder(run).write("timing", "000", {}, [timing])
        assert set(read_results([run]).cells["update_seconds"]) == {0.25}

    def test_tasks_keep_the_order_of_the_plan(self, tmp_path, cell, write_run):
        cells = [cell("adam", [1.0], task=task) for task in ("z", "a")]
        plan = [{"task": task, "optimizer": "adam", "track": "tuned", "seeds": 1} for task in ("a", "z")]
        run = write_run(tmp_path / "run", cells, cells=plan)
        assert list(read_results([run]).cells["task"]) == ["a", "z"]


def text_of(cells: pd.DataFrame) -> str:
    nothing = pd.DataFrame({"task": [], "optimizer": []})
    return headline_text(Analysis(ReportData({}, cells, nothing, nothing, nothing, nothing)))


class TestTerminal:
    def test_names_are_shown_literally(self, cell, frame):
        learned = cell("lstm[bold red]", [1.0, 1.0], learned=True, track="default")
        text = text_of(frame(learned, cell("ad\x1b[31mam", [2.0, 2.0])))
        assert "lstm[bold red], untuned: on its only task" in text
        assert "\x1b" not in text

    @pytest.mark.parametrize(("optimizers", "tasks"), [(1, 1), (1, 83), (2, 9), (3, 9), (5, 9), (8, 9)])
    def test_fits_on_a_screen(self, cell, frame, optimizers, tasks):
        ones = np.linspace(1, 2, 3)
        cells = [
            cell(name, list(scale * ones), task=f"family-{k % 20}[data=mnist1d,horizon=2000,k={k}]", **more)
            for k in range(tasks)
            for name, scale, more in [
                ("adam", 1.0, {}),
                *(
                    (f"rule-{n}[checkpoint=a/rather/long/name/of/a/checkpoint]", 0.9 + 0.05 * n, LEARNED)
                    for n in range(optimizers)
                ),
            ]
        ]
        lines = text_of(frame(*cells)).splitlines()
        assert len(lines) <= 21
        assert max(map(len, lines)) <= 80
        assert sum(line.startswith("rule-") for line in lines) == min(optimizers, 5)
        assert ("3 more learned optimizers ran: see the report." in lines) == (optimizers == 8)

    def test_what_speaks_against_is_there(self, cell, frame):
        cells = [
            half
            for name, scale in (("bowl", 0.5), ("valley", 4.0))
            for half in (cell("adam", [1.0] * 12, task=name), cell("lstm", [scale] * 12, task=name, **LEARNED))
        ]
        text = text_of(frame(*cells))
        assert "lower training loss than tuned adam on 1 of 2 tasks" in text
        assert "  - It ends higher on valley (4×)." in text.splitlines()

    def test_a_very_long_name_is_cut_in_its_middle(self, cell, frame):
        name = f"lstm[checkpoint={'x' * 900}/the-end]"
        text = text_of(frame(cell(name, [1.0, 1.0], **LEARNED), cell("adam", [2.0, 2.0])))
        assert "…" in text
        assert "the-end]" in text
        assert len(text.splitlines()) <= 21

    @pytest.mark.parametrize("tasks", [1, 40])
    def test_without_learned_optimizers_it_names_the_best(self, cell, frame, tasks):
        cells = [
            cell(name, [loss], task=f"bowl[k={k}]") for k in range(tasks) for name, loss in (("a", 1.0), ("b", 2.0))
        ]
        lines = text_of(frame(*cells)).splitlines()
        assert len(lines) <= 21
        assert max(map(len, lines)) <= 80
        assert any("no learned optimizer ran" in line for line in lines)


def test_a_run_of_learned_optimizers_alone_has_a_report(cell, write_run, tmp_path):
    cells = [cell("lstm", [1.0] * 3, learned=True, track="default")]
    report = write_report([write_run(tmp_path / "run", cells)], tmp_path / "report")
    assert "no baseline ran" in report.headline
