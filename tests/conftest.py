"""Settings for all tests: processes as the command line sets them up, repeatable property tests, fresh environments."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from l2obench.bench.process import set_up_process

set_up_process()
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    root = str(Path(__file__).resolve().parent.parent)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), root]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def new_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes an environment with the wheel, and gives its interpreter.

    The dependencies, gigabytes of them, are borrowed from the environment that runs the tests.
    """

    def make() -> Path:
        folder = tmp_path_factory.mktemp("environment")
        venv.create(folder / "venv", with_pip=True)
        interpreter = folder / "venv" / "bin" / "python"
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True, cwd=folder)
        site = next((folder / "venv").glob("lib/python*/site-packages"))
        (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
        return interpreter

    return make
