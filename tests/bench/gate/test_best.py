"""A check names HEAD's best baselines beside every cell."""

from dataclasses import replace
from pathlib import Path

import pytest

from l2obench.bench.config.suite import make_suite
from l2obench.bench.gate.side import read_side
from l2obench.bench.gate.verdict import compare
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    values = {"optimizers": ["sgd", "adam[lr=0.1]", "l-bfgs", "lstm[checkpoint=quadratic]"], "seeds": 3}
    cells = make_suite("test", values | {"tracks": ["default"], "tasks": [{"task": "quadratic[horizon=30]"}]}).cells()
    Runner(RunFolder(folder), cells).execute({"suite": "test"})
    return folder


def test_the_best_of_the_class_and_of_all_are_named(run: Path) -> None:
    found = {item.optimizer: item for item in compare(read_side(run), read_side(run)).comparisons}
    learned = found["lstm[checkpoint=quadratic]"]
    assert (learned.best_of_class, learned.best_of_all) == ("adam[lr=0.1] default", "l-bfgs default")
    assert found["l-bfgs"].best_of_class == "l-bfgs default"
    assert not learned.warnings


def test_another_class_is_a_warning(run: Path) -> None:
    head = [replace(cell, uses="gradients, horizon") if cell.learned else cell for cell in read_side(run)]
    found = {item.optimizer: item for item in compare(read_side(run), head).comparisons}
    assert found["lstm[checkpoint=quadratic]"].warnings == (
        "the optimizer looked at gradients, now at gradients, horizon",
    )
