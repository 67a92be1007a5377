"""The page in a real browser: every control does what it says, and what is drawn are the tables' numbers."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.final_losses import final_losses
from l2obench.reports.page.build import write_report
from l2obench.reports.reading import read_results
from tests.reports.page.chromium import needs_chromium

pytestmark = needs_chromium
HOSTILE = '"><img src=x onerror="window.broken=1"><script>window.broken=1</script>'
READY = "document.documentElement.dataset.drawn"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, cell, write_run) -> Path:
    rng = np.random.default_rng(0)
    cells = [
        cell(name, (scale * rng.lognormal(sigma=0.2, size=6)).tolist(), task=task, **more)
        for task in ("bowl", "valley")
        for name, scale, more in (
            ("sgd", 0.9, {}),
            ("adam", 0.3, {}),
            ("lstm", 0.1, {"learned": True, "track": "default", "seconds": (2e-4, 9e-4), "checkpoint_sha256": "c0"}),
        )
    ]
    cells.append(cell(HOSTILE, [0.5, float("inf"), 0.4]))
    return write_run(tmp_path_factory.mktemp("runs") / "toy", cells, recipes={"c0": {"task": "bowl"}})


@pytest.fixture(scope="module")
def address(run_folder, tmp_path_factory) -> str:
    return write_report([run_folder], tmp_path_factory.mktemp("reports") / "report").page.as_uri()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Any]]:
    """Opens an address and waits until it is drawn; at the end nothing may have been said on the console."""
    said: list[str] = []
    pages = []

    def go(address: str, **options: Any) -> Any:
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.extend(loaded(request.url)))
        page.goto(address)
        settled(page)
        return page

    yield go
    for page in pages:
        page.close()
    assert said == []


def loaded(url: str) -> list[str]:
    """The address of a request, unless it is the page itself or what the page made."""
    return [] if url.startswith(("file:", "blob:", "data:")) else [url]


def settled(page: Any) -> None:
    page.wait_for_function(f"{READY} && {READY} === String(window.l2obench.turn())")


def act(page: Any, what: Callable[[], Any]) -> None:
    what()
    settled(page)


def values(page: Any) -> dict[str, list[str]]:
    rows = page.locator("#values tbody tr").all()
    return {row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts() for row in rows}


def paths(page: Any, chart: str, kind: str) -> int:
    return int(page.locator(f"#{chart} svg .mark-{kind} path").count())


def column(page: Any, table: str, place: int) -> list[str]:
    return list(page.locator(f"#table-{table} tbody tr > :nth-child({place + 1})").all_inner_texts())


def test_values_are_those_of_the_tables(open_page, address, run_folder):
    shown = values(open_page(address))
    table = final_losses(read_results([run_folder]).cells)
    for row in table[(table["task"] == "bowl") & (table["failures"] == 0)].itertuples():
        at_end, _, mean = shown[row.optimizer]
        assert at_end == format_number(row.iqm_final_loss)
        assert mean == format_number(row.mean_final_loss)


def test_each_control_changes_what_it_says(open_page, address):
    page = open_page(address)
    assert page.locator("#task").input_value() == "bowl"
    assert paths(page, "curves-chart", "line") == 4
    assert paths(page, "curves-chart", "area") == 4
    act(page, lambda: page.get_by_role("checkbox", name="95 % bands").uncheck())
    assert paths(page, "curves-chart", "area") == 0
    act(page, lambda: page.get_by_role("checkbox", name="single seeds").check())
    assert paths(page, "curves-chart", "line") == 4 + 6 * 3 + 2
    act(page, lambda: page.get_by_role("checkbox", name="single seeds").uncheck())
    act(page, lambda: page.get_by_role("radio", name="linear").check())
    assert page.get_by_role("radio", name="logarithmic").is_checked() is False
    act(page, lambda: page.get_by_role("radio", name="seconds", exact=True).check())
    assert "wall-clock time of one replica" in page.locator("#curves-chart svg").text_content()
    act(page, lambda: page.get_by_role("radio", name="gradient evaluations").check())
    assert "gradient evaluations" in page.locator("#curves-chart svg").text_content()
    act(page, lambda: page.locator("#task").select_option("valley"))
    assert paths(page, "curves-chart", "line") == 3
    assert "valley" in page.locator("#curves-title").inner_text()
    act(page, lambda: page.locator("#values input").first.uncheck())
    assert paths(page, "curves-chart", "line") == 2
    act(page, lambda: page.get_by_role("button", name="None").click())
    assert page.locator("#curves-chart svg").count() == 0
    act(page, lambda: page.get_by_role("button", name="All", exact=True).click())
    assert paths(page, "curves-chart", "line") == 3
    act(page, lambda: page.locator("#cost").select_option("memory"))
    assert "80 B" in page.locator("#cost-chart svg").text_content()
    act(page, lambda: page.locator("#cost").select_option("update"))
    assert re.search(r"\d µs", page.locator("#cost-chart svg").text_content())


def test_a_view_is_shared_by_its_address(open_page, address):
    page = open_page(address)
    act(page, lambda: page.locator("#task").select_option("valley"))
    act(page, lambda: page.get_by_role("radio", name="seconds", exact=True).check())
    act(page, lambda: page.get_by_role("radio", name="linear").check())
    act(page, lambda: page.get_by_role("checkbox", name="95 % bands").uncheck())
    act(page, lambda: page.locator("#values input").nth(1).uncheck())
    page.locator("#at").fill("40")
    page.locator("#filter-final_losses").fill("valley adam")
    page.locator("#table-final_losses").get_by_role("button", name="mean final loss").click()
    page.get_by_role("navigation").get_by_role("link", name="Tuning").click()
    assert unquote(page.url).partition("#")[2].startswith("tuning?task=valley")
    other = open_page(page.url)
    assert values(other) == values(page)
    for state in (
        lambda view: view.locator("#task").input_value(),
        lambda view: view.locator("#at").input_value(),
        lambda view: view.locator("input[name=x]:checked").input_value(),
        lambda view: view.locator("input[name=y]:checked").input_value(),
        lambda view: paths(view, "curves-chart", "area"),
        lambda view: column(view, "final_losses", 1),
        lambda view: view.locator("#table-final_losses [aria-sort]").inner_text(),
    ):
        assert state(other) == state(page)
    assert column(other, "final_losses", 1) == ["adam"]


@pytest.mark.parametrize("wrong", ["#x?y=9&x=z&at=1e9&task=q&cost=q&show=[&sort-final_losses=99", "#%00?%ff=&bands"])
def test_a_damaged_address_still_opens(open_page, address, wrong):
    assert paths(open_page(address + wrong), "finals-chart", "symbol") > 0


def test_tables_sort_both_ways_and_filter(open_page, address):
    page = open_page(address)
    heading = page.locator("#table-final_losses").get_by_role("button", name="mean final loss")
    heading.click()
    page.wait_for_selector("#table-final_losses [aria-sort=ascending]")
    rising = column(page, "final_losses", 6)
    heading.click()
    page.wait_for_selector("#table-final_losses [aria-sort=descending]")
    as_numbers = [float(text.replace("∞", "inf")) for text in rising]
    assert as_numbers == sorted(as_numbers)
    assert as_numbers[-1] == float("inf")
    assert [float(text.replace("∞", "inf")) for text in column(page, "final_losses", 6)] == as_numbers[::-1]
    page.locator("#filter-final_losses").fill("lstm")
    page.wait_for_function("document.querySelectorAll('#table-final_losses tbody tr').length === 2")
    assert "2 of 7 rows" in page.locator("#table-final_losses").inner_text()


def test_csv_that_is_downloaded_is_the_one_beside_the_page(open_page, address, tmp_path):
    page = open_page(address)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV: Final training losses").click()
    download.value.save_as(tmp_path / "it.csv")
    text = (tmp_path / "it.csv").read_text(encoding="utf-8")
    beside = Path(unquote(address.removeprefix("file://"))).parent / "tables" / "final_losses.csv"
    assert text == beside.read_text(encoding="utf-8")
    assert len(list(csv.reader(io.StringIO(text)))) == 8


def test_hostile_names_are_shown_and_run_nothing(open_page, address):
    page = open_page(address)
    assert HOSTILE in " ".join(values(page))
    page.locator("#filter-final_losses").fill("onerror")
    page.wait_for_function("document.querySelectorAll('#table-final_losses tbody tr').length === 1")
    assert HOSTILE in column(page, "final_losses", 1)
    assert page.evaluate("window.broken") is None
    assert page.locator("img:not([src^='data:image/'])").count() == 0


def test_keyboard_alone_is_enough(open_page, address):
    page = open_page(address)
    page.locator("#task").focus()
    act(page, lambda: page.keyboard.press("ArrowDown"))
    assert "valley" in page.locator("#curves-title").inner_text()
    page.keyboard.press("Tab")
    act(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("input[name=x]:checked").input_value() == "seconds"
    box = page.locator("#values input").first
    box.focus()
    act(page, lambda: page.keyboard.press("Space"))
    assert page.evaluate("document.activeElement.closest('#values') !== null")
    page.locator("#at").focus()
    before = values(page)
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    assert values(page) != before
    assert page.locator("#at").get_attribute("aria-valuetext")
    sort = page.locator("#table-tuning button.sort").first
    sort.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#table-tuning [aria-sort=ascending]")


def test_pointer_over_the_curves_reads_them(open_page, address):
    page = open_page(address)
    before = page.locator("#at-text").inner_text()
    page.locator("#curves-chart svg").hover(position={"x": 200, "y": 100})
    page.wait_for_function(f"document.getElementById('at-text').textContent !== '{before}'")


def test_hovering_leaves_the_address_alone_and_a_click_keeps_the_place(open_page, address):
    page = open_page(address)
    before, text = page.url, page.locator("#at-text").inner_text()
    chart = page.locator("#curves-chart svg")
    chart.hover(position={"x": 200, "y": 100})
    page.wait_for_function(f"document.getElementById('at-text').textContent !== '{text}'")
    assert page.url == before
    page.mouse.move(5, 5)
    page.wait_for_function(f"document.getElementById('at-text').textContent === '{text}'")
    chart.click(position={"x": 200, "y": 100})
    page.wait_for_function("location.hash.includes('at=')")
    kept = page.locator("#at-text").inner_text()
    page.mouse.move(5, 5)
    assert page.locator("#at-text").inner_text() == kept != text


def test_back_returns_to_the_task_before(open_page, address):
    page = open_page(address)
    act(page, lambda: page.locator("#task").select_option("valley"))
    act(page, lambda: page.get_by_role("checkbox", name="95 % bands").uncheck())
    page.go_back()
    page.wait_for_function("document.getElementById('curves-title').textContent.includes('bowl')")
    assert page.locator("#task").input_value() == "bowl"
    page.go_forward()
    page.wait_for_function("document.getElementById('curves-title').textContent.includes('valley')")
    assert not page.get_by_role("checkbox", name="95 % bands").is_checked()


def test_names_at_the_lines_do_not_overprint(open_page, address):
    page = open_page(address, viewport={"width": 1400, "height": 900})
    boxes = page.evaluate(
        "[...document.querySelectorAll('#curves-chart .names text')].map((text) => text.getBoundingClientRect())"
        ".map((box) => box.toJSON())"
    )
    assert len(boxes) == 4
    boxes.sort(key=lambda box: box["y"])
    assert all(below["y"] + below["height"] <= above["y"] + 2 for below, above in itertools.pairwise(boxes))
    assert all(box["right"] <= page.locator("#curves-chart").bounding_box()["x"] + 700 for box in boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing(open_page, address, scheme, width):
    """Rules of WCAG 2.2 and best practice, on a page with failures, hostile names and unfinished tables."""
    page = open_page(address, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []


@pytest.mark.parametrize("task", ["bowl", "valley"])
def test_wide_things_scroll_within_themselves_on_a_phone(open_page, address, task):
    page = open_page(f"{address}#explore?task={task}", viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter((item) => {
            const box = item.getBoundingClientRect();
            return box.width && box.right > 361 && !item.closest('.scroll, nav, svg, .hidden, .defs');
        }).map((item) => item.outerHTML.slice(0, 120))"""
    )
    assert outside == []


def test_paper_has_all_rows_of_a_table_and_the_screen_its_first_ones_again(open_page, tmp_path, cell, write_run):
    cells = [cell(f"rule-{rule}", [1.0 + rule], task=f"task-{task}") for rule in range(20) for task in range(8)]
    page = open_page(write_report([write_run(tmp_path / "many", cells)], tmp_path / "report").page.as_uri())
    few = len(column(page, "final_losses", 0))
    assert few < 160
    page.evaluate(
        "() => new Promise((done) => requestIdleCallback(() => setTimeout(done, 300)))"
    )  # it has unpacked them
    page.evaluate("() => void window.dispatchEvent(new Event('beforeprint'))")
    assert len(column(page, "final_losses", 0)) == 160
    page.evaluate("() => void window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"document.querySelectorAll('#table-final_losses tbody tr').length === {few}")


def test_print_has_whole_tables_and_nothing_that_sticks(open_page, address):
    page = open_page(address)
    page.emulate_media(media="print")
    stuck = page.evaluate(
        "[...document.querySelectorAll('*')].filter((item) => item.getClientRects().length && "
        "['sticky', 'fixed'].includes(getComputedStyle(item).position)).map((item) => item.outerHTML.slice(0, 120))"
    )
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((item) => item.getClientRects().length && "
        "(getComputedStyle(item).overflowX !== 'visible' || item.scrollHeight > item.clientHeight + 2))"
        ".map((item) => item.outerHTML.slice(0, 120))"
    )
    assert (stuck, cut) == ([], [])


def test_dark_mode_and_print_have_their_colours(open_page, address):
    page = open_page(address, color_scheme="dark")
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => +a + +b, 0)"
    stroke = "getComputedStyle(document.querySelector('#curves-chart .mark-line path')).stroke"
    dark, dark_stroke = page.evaluate(brightness), page.evaluate(stroke)
    page.emulate_media(color_scheme="light")
    assert dark < 150 < 600 < page.evaluate(brightness)
    assert page.evaluate(stroke) != dark_stroke
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(brightness) == 3 * 255
    assert not page.get_by_role("navigation").is_visible()


def test_phone_scrolls_no_wider_than_it_is(open_page, address):
    page = open_page(address, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_generalization_map_has_the_headline_ratios(open_page, address):
    page = open_page(address)
    drawn = sorted(page.locator("#heat-chart .mark-text.role-mark text").all_text_contents())
    assert drawn == sorted(column(page, "headline", 4))
    assert re.search("trained on bowl", page.locator("#heat-chart svg").text_content())


def test_held_out_curves_are_drawn_for_the_chosen_metric(open_page, tmp_path, cell, write_run):
    names = ("adam", "lstm")
    cells = [cell(name, [0.5, 0.6], learned=name == "lstm", heldout_loss=0.3, heldout_accuracy=0.9) for name in names]
    run = write_run(tmp_path / "run", cells)
    rows = [
        {"task": "bowl", "optimizer": name, "track": "tuned", "seed": seed, "metric": metric}
        | {"steps": [0, 10, 20], "values": [start, start / 2, 0.3]}
        for name in names
        for seed in (0, 1)
        for metric, start in (("loss", 2.0), ("accuracy", 0.1))
    ]
    RunFolder(run).write("heldout", "000", {}, rows)
    page = open_page(write_report([run], tmp_path / "report").page.as_uri())
    assert page.locator("#heldout-chart .mark-symbol path").count() == 2 * 3
    assert page.locator("#heldout-chart svg").text_content().count("held-out loss") == 1
    page.locator("#metric").select_option("accuracy")
    settled(page)
    assert "held-out accuracy" in page.locator("#heldout-chart svg").text_content()
    assert "metric=accuracy" in page.url


def test_runs_are_compared_and_what_cannot_be_says_why(open_page, tmp_path, cell, write_run):
    first = write_run(tmp_path / "old", [cell("adam", [1.0, 2.0]), cell("sgd", [3.0, 4.0])])
    digits = {"digits": {"description": "other digits", "sha256": "cd34"}}
    second = write_run(
        tmp_path / "new",
        [cell("adam", [0.5, 1.0]), cell("sgd", [3.0, 4.0], task_version=2)],
        sources=digits,
        tasks={"bowl": {"sources": []}},
    )
    third = write_run(tmp_path / "data", [cell("adam", [1.0, 2.0])], sources=digits)
    page = open_page(write_report([first, second, third], tmp_path / "report").page.as_uri())
    text = page.locator("#table-side_by_side").inner_text()
    assert "task version 2, not 1" in text
    assert "data digits has SHA-256 cd34, not ab12" in text
    assert paths(page, "curves-chart", "line") == 5


@pytest.mark.slow
def test_fifty_by_fifty_is_small_and_answers_at_once(open_page, tmp_path, cell, write_run):
    rng = np.random.default_rng(1)
    walk = np.linspace(0, -3, 101)
    cells = [
        cell(
            f"rule-{rule}",
            np.exp(losses[:, -1]).tolist(),
            task=f"task-{task}",
            track="default",
            learned=rule < 5,
        )
        for task in range(50)
        for rule in range(50)
        for losses in [walk[[0, -1]] + rng.normal(size=(10, 1))]
    ]
    path = write_report([write_run(tmp_path / "large", cells)], tmp_path / "report").page
    assert path.stat().st_size < 6e6
    page = open_page(path.as_uri())
    act(page, lambda: page.get_by_role("button", name="All", exact=True).click())
    assert paths(page, "curves-chart", "line") == 50
    times = []
    for task in range(1, 8):
        act(page, lambda task=task: page.locator("#task").select_option(f"task-{task}"))
        times.append(int(page.evaluate("document.documentElement.dataset.milliseconds")))
    print("milliseconds from choice to curves, 50 optimizers:", times)
    assert len(column(page, "final_losses", 0)) == 25
    page.get_by_role("button", name="Show all 2500 rows").first.click()
    page.wait_for_function("document.querySelectorAll('#table-final_losses tbody tr').length === 2500")
