"""The first screen in a real browser: the picture above the fold, its links, and the table of tasks below it."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2obench.reports.page.build import write_report
from tests.reports.page.chromium import needs_chromium

pytestmark = needs_chromium
DRAWN = "document.documentElement.dataset.drawn === String(window.l2obench?.turn())"
LONG = "rule[checkpoint=a/rather/long/name/of/a/checkpoint/of/training-{}]"
TASKS = [f"{family}[data=mnist1d,horizon=2000,units={units}]" for family in ("bowl", "valley") for units in range(25)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, cell, write_run) -> dict[int, str]:
    """Reports on 50 tasks with one learned optimizer, and on four with five."""
    rng, folder, found = np.random.default_rng(0), tmp_path_factory.mktemp("first"), {}
    for learned, tasks in ((1, TASKS), (5, TASKS[23:27])):
        cells = []
        for place, task in enumerate(tasks):
            base = rng.lognormal(sigma=0.1, size=4)
            cells.append(cell("adam", base.tolist(), task=task))
            for number in range(learned):
                losses = (0.2 + 0.1 * place) * (1 + 0.1 * number) * base * rng.lognormal(sigma=0.05, size=4)
                failing = [*losses[:3].tolist(), float("inf")] if place == 1 else losses.tolist()
                cells.append(cell(LONG.format(number), failing, task=task, learned=True, track="default"))
        run = write_run(folder / f"run-{learned}", cells)
        found[learned] = write_report([run], folder / f"report-{learned}").page.as_uri()
    return found


@pytest.fixture
def open_page(browser, pages) -> Iterator[Callable[..., Any]]:
    opened = []

    def go(learned: int, **options: Any) -> Any:
        page = browser.new_page(**options)
        opened.append(page)
        page.goto(pages[learned])
        page.wait_for_function(DRAWN)
        return page

    yield go
    for page in opened:
        page.close()


def top(page: Any, selector: str) -> float:
    return float(page.locator(selector).first.evaluate("place => place.getBoundingClientRect().top + scrollY"))


@pytest.mark.parametrize("learned", [1, 5])
def test_claims_and_the_start_of_the_picture_are_above_the_fold(open_page, learned) -> None:
    page = open_page(learned, viewport={"width": 1280, "height": 900})
    assert top(page, "#answer .card, #answer .verdicts") < 250
    assert top(page, ".forest li.row, .forest summary.row") < 860
    assert top(page, "#tasks") < top(page, "#explore") < 4_000


@pytest.mark.parametrize("learned", [1, 5])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_no_wider_than_it_is(open_page, learned, scheme) -> None:
    page = open_page(learned, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    page.locator(".forest summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_families_of_many_tasks_are_folded_and_open_by_keyboard(open_page) -> None:
    page = open_page(1)
    row = page.locator(".forest details li").first
    assert not row.is_visible()
    page.locator(".forest summary").first.focus()
    page.keyboard.press("Enter")
    assert row.is_visible()
    link = row.locator("a")
    task = link.get_attribute("title")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(DRAWN)
    page.wait_for_function(f"document.getElementById('task').value === {task!r}")
    assert page.url.partition("#")[2].startswith("explore?task=")
    assert task in page.locator("#curves-title").inner_text()


def test_paper_has_everything_unfolded_and_whole(open_page) -> None:
    page = open_page(1)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("#table-tasks tbody tr").count() == len(TASKS)
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("document.querySelectorAll('#table-tasks tbody tr').length === 15")
    assert page.locator(".forest details[open]").count() == 0


def test_a_task_in_the_table_opens_with_its_failures(open_page) -> None:
    page = open_page(1)
    page.locator("#table-tasks").get_by_role("link", name=TASKS[1], exact=True).click()
    page.wait_for_function(f"document.getElementById('task').value === {TASKS[1]!r}")
    failures = page.locator("#task-tables details").filter(has=page.get_by_text("Failures (1 row)"))
    failures.locator("summary").click()
    assert "the loss was not finite" in failures.inner_text()
    assert "diverged" in failures.inner_text()


def test_the_csv_holds_the_rows_that_are_shown_in_their_order(open_page, pages, tmp_path) -> None:
    page = open_page(1)
    page.locator("#filter-tasks").fill("valley")
    heading = page.locator("#table-tasks").get_by_role("button", name="typical ratio")
    heading.click()
    heading.click()
    page.wait_for_selector("#table-tasks [aria-sort=descending]")
    shown = page.locator("#table-tasks tbody th").all_inner_texts()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV: Every task").click()
    download.value.save_as(tmp_path / "it.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "it.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 25
    assert [row["task"] for row in rows][: len(shown)] == shown
    ratios = [float(row["typical_ratio"]) for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    whole = Path(pages[1].removeprefix("file://")).parent / "tables" / "tasks.csv"
    lines = whole.read_text(encoding="utf-8").splitlines()
    assert set((tmp_path / "it.csv").read_text(encoding="utf-8").splitlines()) <= set(lines)


def test_lanes_of_an_optimizer_can_be_hidden(open_page) -> None:
    page = open_page(5)
    lanes = page.locator('.forest [data-lane="2"]')
    assert lanes.first.is_visible()
    button = page.locator("button.key").nth(2)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not lanes.first.is_visible()
    button.click()
    assert lanes.first.is_visible()


def test_each_task_of_the_picture_has_its_numbers_as_text(open_page) -> None:
    page = open_page(5)
    row = page.locator(".forest li.row").first
    assert row.locator(".lane").count() == 5
    assert all(text.endswith("×") for text in row.locator(".number b").all_inner_texts())
    assert set(row.locator(".verdict").all_inner_texts()) == {"4 seeds"}
