"""The sdist has what `make test` needs, and gives the wheel that the checkout gives."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Build = Callable[[str, Path, Path], Path]

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {
    "src/l2obench/bench": "a link; `make` makes it",
    "src/l2obench/optimizers": "a link; `make` makes it",
    "src/l2obench/reports": "a link; `make` makes it",
    "src/l2obench/tasks": "a link; `make` makes it",
    "results/reference/": "some 100 MB, of which only `quick` is installed",
}
"""What git has and the sdist has not, on purpose: files, or folders by a slash at the end; and why."""
KEPT = "results/reference/quick/"


@pytest.fixture(scope="module")
def unpacked(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


def left_out(path: str) -> bool:
    listed = any(path == name or (name.endswith("/") and path.startswith(name)) for name in LEFT_OUT)
    return listed and not path.startswith(KEPT)


def test_it_has_all_that_git_has_but_what_is_left_out_on_purpose(unpacked: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    # A file that was deleted and not committed yet is in git's list, and cannot be in the sdist.
    tracked = {path for path in listed.stdout.split("\0") if path and os.path.lexists(ROOT / path)}
    packed = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if not path.is_dir()}
    missing = {path for path in tracked - packed if not left_out(path)}
    assert not missing, "add them to only-include of pyproject.toml, or to LEFT_OUT here"
    assert {name for name in LEFT_OUT if not any(path.startswith(name) for path in tracked)} == set()
    assert not {path for path in packed if left_out(path)}


@pytest.mark.slow
def test_its_tests_are_found_after_make_has_made_the_links(unpacked: Path) -> None:
    subprocess.run(["make", "links"], cwd=unpacked, check=True, capture_output=True)
    # No cache in the tree, and the unpacked package in front of the one that is installed here.
    environment = {**os.environ, "PYTHONPATH": str(unpacked / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]  # -q is the project's own
    done = subprocess.run(collect, cwd=unpacked, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    found = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert found == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}


def test_its_wheel_is_that_of_the_checkout(unpacked: Path, wheel: Path, build: Build, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as here, zipfile.ZipFile(build("wheel", unpacked, tmp_path)) as there:
        assert {item.filename: item.CRC for item in here.infolist() if not item.filename.endswith("RECORD")} == {
            item.filename: item.CRC for item in there.infolist() if not item.filename.endswith("RECORD")
        }


def test_wheel_and_sdist_hold_the_same_modules(unpacked: Path, wheel: Path) -> None:
    modules = {f"l2obench/{path.relative_to(unpacked / 'src' / 'l2obench')}" for path in own(unpacked)}
    for room in ("bench", "optimizers", "tasks", "reports"):
        modules |= {f"l2obench/{path.relative_to(unpacked)}" for path in (unpacked / room).rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == modules


def own(unpacked: Path) -> list[Path]:
    """The modules of src/l2obench itself, without those behind links."""
    package = unpacked / "src" / "l2obench"
    return [path for path in package.rglob("*.py") if path.resolve().is_relative_to(package.resolve())]
