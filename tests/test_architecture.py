"""The house is the one in docs/architecture.md: imports run one way, nothing unpickles, files stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "tasks": {"l2obench.foundation", "l2obench.tasks"},
    "optimizers": {"l2obench.foundation", "l2obench.optimizers"},
    "bench": {"l2obench.foundation", "l2obench.bench", "l2obench.optimizers", "l2obench.tasks"},
    "reports": {
        "l2obench.foundation",
        "l2obench.reports",
        "l2obench.bench.config.identity",
        "l2obench.bench.store",
        "l2obench.bench.stats",
    },
}
# Rooms and files of a folder from the ground up: each may import those before it.
FLOORS = {
    "bench": [
        *["failures", "process", "store", "stats", "config", "rollout", "measure", "contract"],
        *["metatrain", "run", "gate", "studies", "commands"],
    ],
    "optimizers": ["base", "designed", "bridged", "learned", "published"],
    "reports": ["formats", "reading", "numbers", "figures", "sections", "page"],
}
LINKS = ROOT / "src" / "l2obench"
# The command line is the one place that knows all rooms.
DOORS = {
    ("bench/commands/report.py", "l2obench.reports.page.build"),
    ("bench/commands/check.py", "l2obench.reports.formats"),
    ("bench/commands/updates.py", "l2obench.reports.figures.updates"),
}
FOUNDATION = sorted((LINKS / "foundation").rglob("*.py"))
FILES = [*FOUNDATION, *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            yield from names - {"l2obench", "l2obench.bench"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    allowed = {"l2obench.foundation"} if path in FOUNDATION else ROOMS[name.split("/")[0]]
    for module in imported(path):
        assert module.split(".")[0] not in ROOMS, f"{name}: {module} is imported as l2obench.{module}"
        if module.split(".")[0] != "l2obench":
            continue
        inside = any(module == room or module.startswith(f"{room}.") for room in allowed)
        assert inside or any(name == file and module.startswith(door) for file, door in DOORS), f"{name}: {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_stand_on_each_other(path: Path) -> None:
    folder, room, *_ = path.relative_to(ROOT).with_suffix("").parts
    floors = FLOORS.get(folder, [])
    if not floors or room == "__init__":
        return
    for module in imported(path):
        house, _, rest = module.removeprefix("l2obench.").partition(".")
        if module.startswith("l2obench.") and house == folder and (other := rest.split(".")[0]) in floors:
            assert floors.index(other) <= floors.index(room), f"{path.relative_to(ROOT)}: {module}"


@pytest.mark.parametrize("room", ROOMS)
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
