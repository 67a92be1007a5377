"""All optimizers of a task meet the same functions, which the run proves; other tasks are refused."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from l2obench.bench.config.registry import task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, make_suite
from l2obench.bench.failures import RunStopped
from l2obench.bench.run import jobs
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.run_folder import RunFolder

PLUGIN = '''
import os, random
import numpy as np
import torch
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Problem
from l2obench.tasks.quadratic import Quadratic


class GlobalStart(Quadratic):
    def sample(self, generator):
        made = super().sample(generator)
        return Problem(params={name: torch.randn_like(value) for name, value in made.params.items()}, data=made.data)


class NumpyStart(Quadratic):
    def sample(self, generator):
        np.random.rand()
        return super().sample(generator)


class FreshStart(Quadratic):
    """Of a generator that nobody can set: only the hashes tell."""

    def sample(self, generator):
        made = super().sample(generator)
        fresh = torch.Generator()
        fresh.seed()
        params = {name: torch.randn(value.shape, generator=fresh) for name, value in made.params.items()}
        return Problem(params=params, data=made.data)


class Noisy(SGD):
    """Draws from all global generators, and sets none."""

    def update_tensor(self, grad, state, param):
        noise = torch.randn_like(grad) * random.random() * np.random.rand()
        return -0.01 * (grad + noise), state


class Rude(SGD):
    """Changes what others compute with, when imported and at every step."""

    def update_tensor(self, grad, state, param):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        np.seterr(all="raise")
        os.environ["L2OBENCH_RUDE"] = "1"
        return -0.01 * grad, state


torch.set_default_dtype(torch.float64)
torch.use_deterministic_algorithms(True)
os.environ["L2OBENCH_RUDE"] = "1"
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "odd.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(tasks: list[str], optimizers: list[str]) -> list[Cell]:
    values = {"optimizers": optimizers, "tasks": [{"task": task} for task in tasks], "seeds": 3, "tracks": ["default"]}
    return make_suite("test", values).cells()


def execute(folder: Path, planned: list[Cell], **options: bool) -> tuple[Outcome, pd.DataFrame]:
    outcome = Runner(RunFolder(folder), planned, RunOptions(**{"timing": False} | options)).execute({"suite": "test"})  # type: ignore[arg-type]
    return outcome, RunFolder(folder).read("cells")


def test_each_seed_has_one_hash_for_all_optimizers_and_seeds_differ(tmp_path: Path) -> None:
    _, frame = execute(
        tmp_path / "run", cells(["quadratic[horizon=3]", "mnist-mlp[horizon=3,units=4]"], ["sgd", "adam"])
    )
    hashes = frame.groupby(["task", "seed"])["function_sha256"].agg(set)
    assert (hashes.map(len) == 1).all()
    assert len(set.union(*hashes)) == 6


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("GlobalStart", "sample of ./odd.py:GlobalStart must draw random numbers from the generator of its seed only"),
        ("NumpyStart", "sample of ./odd.py:NumpyStart must draw random numbers from the generator of its seed only"),
    ],
)
@pytest.mark.usefixtures("forks")
def test_a_task_that_draws_from_a_global_generator_is_refused(here: Path, task: str, message: str) -> None:
    outcome, frame = execute(here / "run", cells([f"./odd.py:{task}[horizon=3]"], ["sgd", "adam"]))
    assert set(frame["status"]) == {"error"}
    assert all(message in line for line in outcome.errors)
    assert len(outcome.errors) == 2


@pytest.mark.usefixtures("forks")
def test_a_task_with_a_generator_of_its_own_is_found_by_the_hashes(here: Path) -> None:
    outcome, frame = execute(here / "run", cells(["./odd.py:FreshStart[horizon=3]"], ["sgd", "adam"]))
    assert frame.groupby("optimizer")["status"].agg(set).to_dict() == {"sgd": {"ok"}, "adam": {"error"}}
    (line,) = outcome.errors
    assert "of seed 0, adam got another function or other minibatches than sgd" in line
    assert frame.loc[frame["status"] == "error", ["final_loss", "loss"]].isna().all(axis=None)


def test_a_task_of_ours_that_gives_another_function_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier start's cells count too, as those of another machine."""
    execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd"]))
    family: Callable[[object], str] = jobs.identify_functions
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "identify_functions", lambda task: f"other {family(task)}")
        with pytest.raises(RunStopped, match=r"quadratic.*of seed 0, adam got another function"):
            execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd", "adam"]))
    _, frame = execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd", "adam"]))
    assert set(frame["status"]) == {"ok"}


def test_a_run_of_learned_optimizers_goes_on_with_one_more(tmp_path: Path) -> None:
    """Two rules that differ in their meta-parameters only are two cells, computed or not."""
    learned = ["lstm[checkpoint=mnist]", "lstm[checkpoint=quadratic]", "lstm[checkpoint=mnist-second-order]"]
    execute(tmp_path / "run", cells(["quadratic[horizon=3]"], learned[:2]))
    outcome, frame = execute(tmp_path / "run", cells(["quadratic[horizon=3]"], learned))
    assert (outcome.computed, outcome.already_computed, outcome.errors) == (1, 2, [])
    assert set(frame["optimizer"]) == set(learned)


def test_rows_of_an_earlier_version_are_no_conflict(tmp_path: Path) -> None:
    execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd"]))
    (path,) = (tmp_path / "run" / "cells").glob("*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["function_sha256"]), path)
    outcome, frame = execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd", "adam"]))
    assert (outcome.computed, outcome.already_computed, outcome.errors) == (1, 1, [])
    assert frame.groupby("optimizer")["function_sha256"].agg(lambda column: column.notna().all()).to_dict() == {
        "sgd": False,
        "adam": True,
    }


def test_random_numbers_that_nobody_set_are_the_same_again_and_a_rude_neighbour_changes_nothing(here: Path) -> None:
    tasks, noisy, rude = ["quadratic[horizon=5]"], "./odd.py:Noisy", "./odd.py:Rude"
    _, first = execute(here / "first", cells(tasks, [noisy, "adam"]))
    _, second = execute(here / "second", cells(tasks, [rude, noisy, "adam"]), timing=True)
    for name in (noisy, "adam"):
        one, other = (frame[frame["optimizer"] == name].sort_values("seed") for frame in (first, second))
        assert one["loss"].map(list).tolist() == other["loss"].map(list).tolist()
        assert set(other["status"]) == {"ok"}


def test_importing_a_plugin_changes_no_setting_of_this_process(here: Path) -> None:
    task_registry().create("./odd.py:GlobalStart")
    assert torch.get_default_dtype() == torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
    assert "L2OBENCH_RUDE" not in os.environ


def test_a_thread_that_draws_meanwhile_breaks_no_contract_of_our_tasks(tmp_path: Path) -> None:
    """Dask's threads draw from Python's global generator in the process of a worker, as after another worker's end."""
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        outcome, frame = execute(tmp_path / "run", cells(["quadratic[horizon=3]"], ["sgd", "adam"]))
    finally:
        over.set()
        thread.join()
    assert outcome.errors == []
    assert set(frame["status"]) == {"ok"}
