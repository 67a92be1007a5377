"""The wheel, installed outside the checkout, has all that it needs and runs."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; the dependencies, gigabytes of them, are borrowed from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    interpreter = folder / "venv" / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True, cwd=folder)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    return interpreter


def test_the_command_runs_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    command = python.parent / "l2obench"
    where = "import bench, pathlib; print(pathlib.Path(bench.__file__).parents[1].name)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "site-packages"
    arguments = [
        "run",
        "-t",
        "quadratic",
        "-o",
        "adam",
        "-o",
        "lstm[checkpoint=quadratic]",
        "--seeds",
        "4",
        "--out",
        "it",
    ]
    subprocess.run([command, *arguments], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([command, "report", "it"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "it" / "report" / "index.html").exists()
    listed = subprocess.run([command, "list"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    for name in ("quick", "shipped", "deepmind-release", "mnist"):
        assert name in listed
