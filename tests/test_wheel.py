"""The wheel, installed outside the checkout, runs, and leaves a repository its own packages of the same names."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Installed = Callable[..., subprocess.CompletedProcess[str]]
OWN = ["bench", "optimizers", "reports", "tasks"]
BOWL = '''
"""A plugin of a repository whose folders are called like ours."""

import torch

from l2obench.tasks.base import Problem, Task, Tensors

SIZE = 3


class Bowl(Task):
    """θᵀθ."""

    name = "bowl"

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem({"theta": torch.randn(SIZE, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> torch.Tensor:
        return params["theta"].square().sum()
'''
HALVE = '''
"""Another, which imports a package of the repository that is called like one of ours."""

from l2obench.optimizers.base import Optimizer, State, Tensors
from tasks.bowl import SIZE

assert SIZE == 3


class Halve(Optimizer):
    """Half of gradient descent."""

    name = "halve"
    lr: float = 0.1

    def init(self, params: Tensors) -> State:
        return {}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        from l2obench.optimizers.base import per_replica

        return {name: -per_replica(self.lr, grad) * grad / 2 for name, grad in grads.items()}, state
'''


@pytest.fixture(scope="module")
def installed(new_environment: Callable[[], Path]) -> Installed:
    """Runs a program of an environment that has the wheel."""
    programs = new_environment().parent
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [programs / program, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1, 4), done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of someone's with packages of its own by the names of our folders."""
    for name in OWN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f'WHOSE = "theirs: {name}"\n')
    (tmp_path / "tasks" / "bowl.py").write_text(BOWL)
    (tmp_path / "optimizers" / "halve.py").write_text(HALVE)
    return tmp_path


def test_the_command_runs_outside_the_checkout(installed: Installed, tmp_path: Path) -> None:
    where = "import l2obench, pathlib; print(pathlib.Path(l2obench.__file__).parents[1].name)"
    assert installed(tmp_path, "python", "-c", where).stdout.strip() == "site-packages"
    installed(
        tmp_path,
        *["l2obench", "run", "-t", "quadratic", "-t", "sinusoid[horizon=2,start=maml]"],
        *["-o", "adam", "-o", "lstm[checkpoint=quadratic]", "--seeds", "4", "--out", "it"],
    )
    installed(tmp_path, "l2obench", "report", "it")
    assert (tmp_path / "it" / "report" / "index.html").exists()
    listed = installed(tmp_path, "l2obench", "list").stdout
    for name in ("quick", "shipped", "deepmind-release", "mnist"):
        assert name in listed
    compared = installed(tmp_path, "l2obench", "check", "it")  # the reference results came with the package
    assert "quadratic" in compared.stdout


def test_the_package_is_typed_and_knows_its_version(installed: Installed, tmp_path: Path) -> None:
    typed = "import l2obench, pathlib; print((pathlib.Path(l2obench.__file__).parent / 'py.typed').exists())"
    assert installed(tmp_path, "python", "-c", typed).stdout.strip() == "True"
    said = installed(tmp_path, "python", "-m", "l2obench", "--version").stdout
    assert said == installed(tmp_path, "l2obench", "--version").stdout


def test_a_repositorys_packages_of_the_same_names_stay_its_own(installed: Installed, repository: Path) -> None:
    code = "\n".join(
        [f"import {name}; assert {name}.WHOSE == 'theirs: {name}', {name}.__file__" for name in OWN]
        + [f"import l2obench.{name}; assert not hasattr(l2obench.{name}, 'WHOSE')" for name in OWN]
        + ["import torch", "l2obench.load('general', torch.nn.Linear(2, 2).parameters(), num_steps=9)"]
    )
    installed(repository, "python", "-c", code)


@pytest.mark.parametrize("executor", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_repositorys_plugins_run(installed: Installed, repository: Path, executor: str) -> None:
    """By dotted paths; both executors compute in other processes."""
    installed(
        repository,
        *["l2obench", "run", "-t", "tasks.bowl:Bowl[horizon=3]", "-o", "optimizers.halve:Halve", "-o", "adam"],
        *["--seeds", "2", "--out", "out", "--executor", executor, "--workers", "1"],
    )
    cells = pd.read_parquet(repository / "out" / "cells")
    assert set(cells["task"]) == {"tasks.bowl:Bowl[horizon=3]"}
    assert set(cells["optimizer"]) == {"optimizers.halve:Halve", "adam"}
    assert set(cells["status"]) == {"ok"}, set(cells["reason"])
