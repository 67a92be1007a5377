"""Imports run one way, as the picture in docs/architecture.md shows; nothing unpickles, files stay small."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["bench", "optimizers", "reports", "tasks"]
LINKS = ROOT / "src" / "l2obench"

# From the top down. A room imports only rooms of lower lines, and none of its own line.
LAYERS = [
    ["bench/commands"],
    ["api"],
    ["bench/studies", "reports/page"],
    ["bench/gate", "reports/sections"],
    ["bench/run", "reports/figures"],
    ["bench/contract", "reports/numbers"],
    ["bench/measure", "bench/metatrain", "reports/reading"],
    ["reports/classes"],
    ["bench/rollout", "reports/formats", "reports/floors"],
    ["reports/cells"],
    ["bench/config", "bench/stats"],
    ["bench/store"],
    ["bench/failures", "bench/loggers", "bench/process"],
    ["optimizers/published"],
    ["optimizers/learned", "optimizers/drop_in", "tasks/FAMILY"],
    ["optimizers/scheduled"],
    ["optimizers/designed", "optimizers/bridged", "tasks/data", "tasks/modules"],
    ["optimizers/base", "optimizers/__init__", "tasks/base", "tasks/__init__"],
    ["optimizers/search_space"],
    ["foundation"],
]
# And of lower lines only these: a folder with all its rooms, or one room.
MAY_IMPORT = {
    "foundation": [],
    "tasks": ["foundation", "tasks"],
    "optimizers": ["foundation", "optimizers"],
    "bench": ["foundation", "tasks", "optimizers", "bench"],
    "reports": ["foundation", "reports", "bench/config", "bench/stats", "bench/store"],
    "api": ["foundation", "tasks", "optimizers", "bench", "reports"],
    "bench/commands": ["foundation", "tasks", "optimizers", "bench", "reports", "api"],
}
LEVEL = {room: level for level, rooms in enumerate(reversed(LAYERS)) for room in rooms}
FILES = [
    *(path for room in ("api", "foundation") for path in sorted((LINKS / room).rglob("*.py"))),
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))),
]


def module_of(path: Path) -> str:
    """The dotted name of a file, as in `l2obench.bench.run`."""
    inside = path.relative_to(LINKS if path.is_relative_to(LINKS) else ROOT)
    return ".".join(["l2obench", *inside.with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def room_of(module: str) -> str:
    """The room of a module: the folder below `bench`, `optimizers`, `reports` or `tasks`, or `api`, `foundation`."""
    _, folder, *inside = [*module.split("."), "", ""][:3]
    if folder not in FOLDERS:
        return folder
    room = f"{folder}/{inside[0] or '__init__'}"
    return "tasks/FAMILY" if folder == "tasks" and room not in LEVEL else room


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports: anywhere in it, in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from l2obench.bench import failures` imports a module, `from l2obench.bench.stats import holm` a name.
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module or "" for name in whole]
        else:
            continue
        for name in names:
            first = name.split(".")[0]
            assert first not in FOLDERS, f"{path}: {name} is imported as l2obench.{name}"
            if first == "l2obench":
                yield name


def is_in(room: str, allowed: str) -> bool:
    return room == allowed or room.startswith(f"{allowed}/")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(module_of(path))
    if room == "bench/__init__" or room == "reports/__init__":
        assert not list(imported(path))
        return
    assert room in LEVEL, f"{room} is a new room: give it a place in LAYERS and in docs/architecture.md"
    allowed = MAY_IMPORT.get(room) or MAY_IMPORT[room.split("/")[0]]
    for module in imported(path):
        other = room_of(module)
        if other == room:
            continue
        where = f"{path.relative_to(ROOT)} imports {module}: {room} must not import {other}"
        assert any(is_in(other, name) for name in allowed), where
        assert LEVEL.get(other, len(LAYERS)) < LEVEL[room], where


def test_every_room_is_there() -> None:
    assert {room_of(module) for module in MODULES} - {"bench/__init__", "reports/__init__"} == set(LEVEL)


def test_the_picture_shows_the_layers() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert picture, "docs/architecture.md begins with a picture"
    room = re.compile(r"\b(?:(?:bench|optimizers|reports|tasks)/\w+|api|foundation)\b")
    drawn = [found for line in picture[1].splitlines() if (found := room.findall(line))]
    assert [sorted(rooms) for rooms in drawn] == [sorted(rooms) for rooms in LAYERS]


@pytest.mark.parametrize("room", FOLDERS)
def test_a_checkout_links_every_room(room: str) -> None:
    assert (LINKS / room).is_symlink()
    assert (LINKS / room).resolve() == ROOT / room


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "pickle.load", "pickle.loads", "yaml.load"}
            assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_open_with_what_they_are_for_and_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == "" or ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 300
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}
