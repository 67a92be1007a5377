"""Held-out curves on disk: rows beside the cells, which say nothing else than before."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import SuiteError, make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder

TASK = "mnist-mlp[batch=8,horizon=12,units=4]"
SUITE = {
    "seeds": 3,
    "tracks": ["default"],
    "optimizers": ["adam", "sgd[lr=1e9]"],
    "tasks": [{"task": TASK}, {"task": "quadratic[horizon=5]"}],
}


def execute(folder: Path, **changes: object) -> RunFolder:
    cells = make_suite("test", SUITE | changes).cells()
    run = RunFolder(folder)
    Runner(run, cells, RunOptions(timing=False)).execute({"suite": "test"})
    return run


def losses(run: RunFolder) -> list[np.ndarray]:
    cells = run.read("cells").sort_values(["task", "optimizer", "seed"])
    return [np.asarray(loss) for loss in cells["loss"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return execute(tmp_path_factory.mktemp("runs") / "run", heldout_points=4)


def test_a_row_for_each_seed_and_metric_of_tasks_with_held_out_data(run: RunFolder) -> None:
    frame = run.read("heldout")
    assert set(frame["task"]) == {TASK}
    adam = frame[frame["optimizer"] == "adam"]
    assert len(adam) == 3 * 2
    assert {tuple(steps) for steps in adam["steps"]} == {(0, 3, 6, 9, 12)}


def test_the_last_point_is_the_metric_of_the_cell(run: RunFolder) -> None:
    curves, cells = run.read("heldout"), run.read("cells")
    for (seed, metric), rows in curves[curves["optimizer"] == "adam"].groupby(["seed", "metric"]):
        cell = cells[cells["task"].eq(TASK) & cells["optimizer"].eq("adam") & cells["seed"].eq(seed)]
        assert rows["values"].iloc[0][-1] == np.float32(cell[f"heldout_{metric}"].iloc[0])


def test_points_from_divergence_on_are_left_out(run: RunFolder) -> None:
    cells = run.read("cells")
    failed = cells[cells["task"].eq(TASK) & cells["status"].eq("diverged")].set_index(["optimizer", "seed"])
    assert len(failed)
    for row in run.read("heldout").to_dict("records"):
        if (row["optimizer"], row["seed"]) in failed.index:
            assert (row["steps"] < failed.loc[(row["optimizer"], row["seed"]), "failed_step"]).all()


def test_neither_points_nor_their_number_change_a_row_of_the_cells(run: RunFolder, tmp_path: Path) -> None:
    other = execute(tmp_path / "run", heldout_points=0)
    assert other.read("heldout").empty
    pd.testing.assert_frame_equal(run.read("cells"), other.read("cells"))


def test_cells_of_earlier_versions_are_found_finished(tmp_path: Path) -> None:
    execute(tmp_path / "run", heldout_points=0)
    for path in (tmp_path / "run" / "heldout").iterdir():
        path.unlink()
    (tmp_path / "run" / "heldout").rmdir()
    cells = make_suite("test", SUITE).cells()
    outcome = Runner(RunFolder(tmp_path / "run"), cells, RunOptions(timing=False)).execute({"suite": "test"})
    assert (outcome.computed, outcome.already_computed) == (0, 4)


def test_a_task_may_have_its_own_number_and_the_command_another() -> None:
    tasks = [{"task": TASK, "heldout_points": 2}, {"task": "quadratic"}]
    suite = make_suite("test", SUITE | {"tasks": tasks, "heldout_points": 7})
    assert [cell.heldout_points for cell in suite.cells()] == [2, 2, 7, 7]
    assert {cell.heldout_points for cell in suite.narrow(None, None, None, 0).cells()} == {0}
    assert {cell.heldout_points for cell in suite.narrow(["quadratic"], None, None).cells()} == {7}
    with pytest.raises(SuiteError, match="heldout_points"):
        make_suite("test", SUITE | {"heldout_points": -1})
