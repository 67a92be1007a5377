"""The plugin template, installed beside the wheel in an environment of its own, passes its own tests and runs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

TEMPLATE = Path(__file__).resolve().parent.parent / "docs" / "examples" / "l2obench-plugin-template"


@pytest.fixture(scope="module")
def run(
    new_environment: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program of an environment in which the template is installed as its README says."""
    folder = tmp_path_factory.mktemp("plugin") / TEMPLATE.name
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    programs = new_environment().parent
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"

    def start(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    # Its dependencies, and hatchling, are there already: nothing is fetched.
    done = start("python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", ".")
    assert done.returncode == 0, done.stderr
    return start


@pytest.mark.slow
def test_its_own_tests_pass(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_its_names_are_known_and_say_whose_they_are(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    listed = json.loads(run("l2obench", "list", "--json").stdout)
    for kind, name in (("tasks", "rosenbrock"), ("optimizers", "signum")):
        assert listed[kind][name] == "plugin of l2obench-plugin-template"


@pytest.mark.slow
def test_it_gets_its_rows_and_its_report(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    done = run(
        *["l2obench", "run", "-t", "rosenbrock[horizon=20]", "-t", "quadratic[horizon=20]"],
        *["-o", "signum", "-o", "adam", "--seeds", "3", "--out", str(tmp_path / "it")],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    frame = pd.read_parquet(tmp_path / "it" / "cells")
    assert set(frame["status"]) == {"ok"}
    assert set(frame["optimizer"]) == {"signum", "adam"}
    assert len(frame) == 2 * 2 * 2 * 3
    assert run("l2obench", "report", str(tmp_path / "it")).returncode == 0
    assert (tmp_path / "it" / "report" / "index.html").exists()
