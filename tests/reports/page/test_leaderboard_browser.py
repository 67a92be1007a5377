"""The leaderboard in a real browser: it sorts by numbers, filters, fits a phone, loads nothing and obeys no name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api as playwright

from l2obench.reports.page.leaderboard import write_leaderboard
from tests.reports.page.chromium import needs_chromium

pytestmark = needs_chromium
HOSTILE = '"><img src=x onerror="window.broken=1"><script>window.broken=1</script>'
BOARD = "#table-leaderboard"
TASKS = ["bowl", "valley", *(f"family{number}" for number in range(9))]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, cell: Callable[..., Any], write_run: Callable[..., Path]) -> str:
    factors = {"adam": 1.0, "slow": 20.0, "near": 5.0, HOSTILE: 0.5}
    cells = [
        cell(name, [factor, 2 * factor, 4 * factor], task=task, track="tuned" if name == "adam" else "default",
             learned=name != "adam")
        for task in TASKS
        for name, factor in factors.items()
        if task != "valley" or name in ("adam", "near")
    ]  # fmt: skip
    run = write_run(tmp_path_factory.mktemp("runs") / "toy", cells)
    return write_leaderboard([run], tmp_path_factory.mktemp("boards") / "board").page.as_uri()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end nothing may have been said on the console, or asked of the network."""
    said: list[str] = []
    pages = []

    def go(**options: Any) -> Any:
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.extend([] if request.url.startswith("file:") else [request.url]))
        page.goto(address)
        return page

    yield go
    for page in pages:
        page.close()
    assert said == []


def names(page: Any) -> list[str]:
    return list(page.locator(f"{BOARD} tbody th").all_inner_texts())


def test_rows_stand_in_the_order_of_the_page_and_sort_by_the_numbers_of_a_family(
    open_page: Callable[..., Any],
) -> None:
    page = open_page()
    assert names(page) == [HOSTILE, "adam", "near", "slow"]
    page.get_by_role("button", name="bowl (1 task)").click()
    playwright.expect(page.locator(f"{BOARD} th[aria-sort=ascending]")).to_have_count(1)
    playwright.expect(page.locator(f"{BOARD} tbody tr:last-child th")).to_have_text("slow")
    assert names(page) == [HOSTILE, "adam", "near", "slow"]
    page.get_by_role("button", name="bowl (1 task)").click()
    playwright.expect(page.locator(f"{BOARD} tbody tr:first-child th")).to_have_text("slow")
    assert names(page) == ["slow", "near", "adam", HOSTILE]


def test_a_filter_leaves_rows_with_its_words(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("#filter-leaderboard").fill("near")
    playwright.expect(page.locator(f"{BOARD} tbody tr")).to_have_count(1)


def test_no_name_is_obeyed(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("#filter-leaderboard").fill("img")
    playwright.expect(page.locator(f"{BOARD} tbody tr")).to_have_count(1)
    assert page.evaluate("window.broken") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_only_tables_scroll_sideways(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.get_by_role("button", name="bowl (1 task)").click()
    found = Axe().run(page).response["violations"]
    assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in found] == []


def test_a_task_that_did_not_run_is_a_dash(open_page: Callable[..., Any]) -> None:
    page = open_page()
    heads = page.locator(f"{BOARD} thead th").all_inner_texts()
    (place,) = (at for at, text in enumerate(heads) if "valley" in text)
    row = page.locator(f"{BOARD} tbody tr", has=page.get_by_role("rowheader", name="slow"))
    assert row.locator(f":nth-child({place + 1})").inner_text() == "—"
