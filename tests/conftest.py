"""Settings for all tests: processes as the command line sets them up, repeatable property tests, fresh environments."""

import os
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from l2obench.bench.measure import load
from l2obench.bench.process import set_up_process

ROOT = Path(__file__).resolve().parent.parent

set_up_process()
# The fast suite takes the same few examples each time; `make test-slow` draws many new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True, max_examples=40)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def quiet_machine() -> Iterator[None]:
    """No test depends on what else the machine does, but those of the load itself, which read the real counters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "read_counters", lambda processors: load.Counters(0.0, time.monotonic(), 0.0, 0.0))
        patch.setattr(load, "LOOK_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fills a folder once for all processes that share the tests: xdist parts the tests of a module among them."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, part = root / f"once-{name}", root / f"once-{name}.part"
        with FileLock(root / f"once-{name}.lock"):
            if not folder.exists():
                part.mkdir()
                fill(part)
                part.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def build() -> Callable[[str, Path, Path], Path]:
    """Makes the wheel or the sdist of a source tree in a folder."""

    def make(kind: str, source: Path, folder: Path) -> Path:
        command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        (built,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
        return built

    return make


@pytest.fixture(scope="session")
def wheel(build: Callable[[str, Path, Path], Path], once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The wheel of this checkout."""
    (built,) = once("wheel", lambda folder: build("wheel", ROOT, folder)).glob("*.whl")
    return built


@pytest.fixture(scope="session")
def new_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes an environment with the wheel, and gives its interpreter.

    The dependencies, gigabytes of them, are borrowed from the environment that runs the tests.
    """

    def make() -> Path:
        folder = tmp_path_factory.mktemp("environment")
        # A pip of its own would take longer than all else: the one that runs the tests installs into it.
        venv.create(folder / "venv", with_pip=False)
        interpreter = folder / "venv" / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-deps", str(wheel)]
        subprocess.run(pip, check=True, cwd=folder)
        site = next((folder / "venv").glob("lib/python*/site-packages"))
        # Of the lines that install this checkout, Python reads none there: it reads .pth files of its own folder only.
        (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
        return interpreter

    return make
