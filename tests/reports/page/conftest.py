"""One browser for all tests of a module."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reports.page.chromium import CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # tests without a browser do not wait for it

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
