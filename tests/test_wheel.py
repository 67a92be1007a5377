"""The wheel, installed outside the checkout, has all that it needs and runs."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def python(new_environment: Callable[[], Path]) -> Path:
    return new_environment()


def test_the_command_runs_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    command = python.parent / "l2obench"
    where = "import l2obench, pathlib; print(pathlib.Path(l2obench.__file__).parents[1].name)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "site-packages"
    arguments = [
        "run",
        "-t",
        "quadratic",
        "-t",
        "sinusoid[horizon=2,start=maml]",
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
    compared = subprocess.run([command, "check", "it"], cwd=tmp_path, capture_output=True, text=True)
    assert compared.returncode != 2, compared.stderr  # the reference results came with the package
    assert "quadratic" in compared.stdout
