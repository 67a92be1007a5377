"""The examples in docstrings do what they show, each module's in an empty folder."""

import doctest
import importlib
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["src/l2obench", "src/l2obench/foundation", "bench", "optimizers", "tasks", "reports"]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)


def examples_by_module() -> dict[str, int]:
    """How many examples the source of each module shows; modules without any are left out."""
    shown = {}
    for folder in FOLDERS:
        room = ROOT / folder
        # src/l2obench holds links to the other folders, which are walked by themselves.
        for path in sorted(room.glob("*.py") if folder == "src/l2obench" else room.rglob("*.py")):
            inside = folder.removeprefix("src/l2obench").strip("/")
            parts = ["l2obench", *filter(None, [inside]), *path.relative_to(room).parts]
            name = ".".join(parts).removesuffix(".py").removesuffix(".__init__")
            if count := len(EXAMPLE.findall(path.read_text(encoding="utf-8"))):
                shown[name] = count
    return shown


def run(module: types.ModuleType) -> tuple[int, str]:
    """How many examples of a module ran, and what was wrong with them."""
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    wrong: list[str] = []
    tests = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    for test in tests:
        runner.run(test, out=wrong.append)
    return sum(len(test.examples) for test in tests), "".join(wrong)


SHOWN = examples_by_module()


@pytest.mark.parametrize("name", SHOWN)
def test_examples_do_what_they_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran, wrong = run(importlib.import_module(name))
    assert not wrong, wrong
    # Python drops a string below an assignment, and doctest skips what a decorator hides: such an example never runs.
    assert ran == SHOWN[name], f"{name}: {SHOWN[name]} examples are shown, and {ran} of them are in docstrings"


def test_an_example_that_is_wrong_is_reported() -> None:
    module = types.ModuleType("wrong", doc=">>> 1 + 1\n3\n")
    ran, wrong = run(module)
    assert ran == 1
    assert "Expected:\n    3\nGot:\n    2" in wrong
