"""The gallery of the documentation site: every suite with reference results, and links only to what is there."""

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from tests.markdown import ROOT


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    place = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "site" / "gallery.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    sys.modules["gallery"] = module
    place.loader.exec_module(module)
    return module


def test_the_table_has_every_suite_with_its_question_date_and_machine(gallery: ModuleType) -> None:
    page = gallery.gallery_page([])
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    names = sorted(path.parent.name for path in (ROOT / "results" / "reference").glob("*/manifest.json"))
    assert [row[0].removeprefix("| ").replace("\\", "") for row in rows] == names
    for _, question, tasks, optimizers, date, machine in rows:
        assert len(question.split()) > 3
        assert int(tasks) > 0
        assert int(optimizers) > 0
        assert re.fullmatch(r"2026-\d\d-\d\d", date)
        assert machine != "—"


def test_only_reports_that_are_built_are_linked(gallery: ModuleType) -> None:
    assert "](gallery/" not in gallery.gallery_page([])
    page = gallery.gallery_page(["paper-art"])
    assert re.findall(r"\]\((gallery/[^)]+)\)", page) == ["gallery/paper-art/index.html"]
    assert "gallery/leaderboard/index.html" in gallery.gallery_page(["paper-art"], with_leaderboard=True)
