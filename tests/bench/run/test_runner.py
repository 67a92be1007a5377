"""The runner: every row that was promised, the same rows again, and strangers' failures as rows."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from l2obench.api.results import Results
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, make_suite
from l2obench.bench.measure import load, timing
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.base import State
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic

TIMES = ["grad_seconds", "update_seconds"]
SUITE = {
    "seeds": 5,
    "tuning_seeds": 3,
    "optimizers": ["sgd", "adam", "lstm[checkpoint=quadratic]"],
    "tasks": [{"task": "quadratic[horizon=15]"}, {"task": "mnist-mlp[batch=8,horizon=12,units=4]"}],
}


def execute(
    folder: Path,
    cells: list[Cell] | None = None,
    report: Callable[[str], object] = lambda _: None,
    **options: object,
) -> Outcome:
    cells = cells or make_suite("test", SUITE).cells()
    return Runner(RunFolder(folder), cells, RunOptions(**options), report=report).execute({"suite": "test"})  # type: ignore[arg-type]


def rows(folder: Path) -> pd.DataFrame:
    frame = pd.read_parquet(folder / "cells")
    return frame.sort_values(["task", "optimizer", "track", "seed"], ignore_index=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    outcome = execute(folder)
    assert outcome == Outcome(computed=10, already_computed=0, errors=[])
    return folder


def test_one_row_for_each_seed_of_each_cell(finished: Path) -> None:
    frame = rows(finished)
    assert len(frame) == 10 * 5
    assert not frame.duplicated(["task", "optimizer", "track", "hyperparameters", "seed"]).any()
    assert set(frame["status"]) == {"ok"}
    for row in frame.itertuples():
        assert len(row.loss) == row.steps + 1 == row.forward_passes + 1
        assert np.isfinite(row.loss).all()
        assert row.grad_seconds > 0
        assert row.update_seconds > 0
    digits = frame[frame["task"].str.startswith("mnist")]
    assert digits["heldout_accuracy"].between(0, 1).all()
    assert digits["final_loss"].iloc[0] == pytest.approx(np.mean(digits["loss"].iloc[0][-10:]))
    quadratics = frame[frame["task"].str.startswith("quadratic")]
    assert quadratics["heldout_loss"].isna().all()


def test_rows_are_the_rollouts(finished: Path) -> None:
    task = Quadratic(horizon=15)
    frame = rows(finished).query("task == 'quadratic[horizon=15]' and optimizer == 'adam' and track == 'default'")
    seeds = [derive_seed("evaluation", "quadratic", k) for k in range(5)]
    expected = rollout(task, Adam(), seeds)
    for k, losses in enumerate(frame["loss"]):
        np.testing.assert_allclose(losses, expected.losses[k, 0], rtol=1e-6)
    assert set(frame["state_bytes"]) == {2 * 10 * 4}


def test_learned_rules_run_untuned_and_tuned_rows_say_their_cost(finished: Path) -> None:
    frame = rows(finished)
    assert set(frame.loc[frame["learned"], "track"]) == {"default"}
    assert (frame.loc[frame["track"] == "default", "tuning_passes"] == 0).all()
    tuned = frame[frame["track"] == "tuned"]
    # The grid, and two rates beside its best.
    assert (tuned["tuning_passes"] >= 23 * 3 * tuned["steps"]).all()
    tuning = pd.read_parquet(finished / "tuning")
    assert set(tuning.groupby(["task", "optimizer"])["lr"].nunique()) >= {23}


def test_all_optimizers_meet_the_same_functions(finished: Path) -> None:
    frame = rows(finished)
    first = frame.assign(start=[losses[0] for losses in frame["loss"]])
    assert (first.groupby(["task", "seed"])["start"].nunique() == 1).all()


def test_a_finished_run_computes_nothing_and_changes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.*")}
    assert execute(finished) == Outcome(computed=0, already_computed=10, errors=[])
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.*")} == before


@pytest.mark.parametrize("seeds_at_once", [None, 1, 3])
def test_the_same_values_again_however_they_are_batched(
    finished: Path, tmp_path: Path, seeds_at_once: int | None
) -> None:
    execute(tmp_path / "again", seeds_at_once=seeds_at_once)
    first, second = rows(finished), rows(tmp_path / "again")
    exact = [name for name in first if name not in [*TIMES, "loss", "final_loss", "heldout_loss", "heldout_accuracy"]]
    pd.testing.assert_frame_equal(first[exact], second[exact])
    tolerance = 0 if seeds_at_once is None else 1e-3
    for one, other in zip(first["loss"], second["loss"], strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance)
    np.testing.assert_allclose(first["final_loss"], second["final_loss"], rtol=tolerance)


def test_an_interrupted_run_goes_on_to_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    class Killed(BaseException):
        pass

    lines = []

    def die(line: str) -> None:
        lines.append(line)
        if len(lines) == 7:
            raise Killed

    with pytest.raises(Killed):
        execute(folder, report=die)
    outcome = execute(folder)
    assert outcome.already_computed > 0
    assert outcome.computed > 0
    assert outcome.already_computed + outcome.computed == 10
    first, second = rows(finished), rows(folder)
    for one, other in zip(first["loss"], second["loss"], strict=True):
        np.testing.assert_array_equal(one, other)


def timing_load(monkeypatch: pytest.MonkeyPatch, under_load: bool | None) -> None:
    """What the timing passes of this test see of the machine."""
    others = None if under_load is None else 2.0 * under_load
    monkeypatch.setattr(load, "load_between", lambda before, after, processors: load.Load(others, 2))


def test_times_that_were_taken_under_load_are_taken_again_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = make_suite("test", SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}]}).cells()
    timing_load(monkeypatch, True)
    lines: list[str] = []
    execute(tmp_path / "run", cells, lines.append)
    assert any("taken under load and will not be quoted" in line for line in lines)
    run = RunFolder(tmp_path / "run")
    assert rows(run.folder)[TIMES].isna().all(axis=None)
    loaded = run.read("timing")
    assert loaded["under_load"].all()
    assert loaded["others_busy"].tolist() == [2.0] * 3
    assert (loaded["update_seconds"] > 0).all()
    assert run.manifest["timing"]["quadratic[horizon=5]"]["under_load"] is True
    before = {path: path.stat().st_mtime_ns for path in (run.folder / "cells").iterdir()}
    timing_load(monkeypatch, False)
    outcome = execute(run.folder, cells)
    assert (outcome.computed, outcome.tasks_timed) == (0, 1)
    assert {path: path.stat().st_mtime_ns for path in (run.folder / "cells").iterdir()} == before
    assert not run.read("timing")["under_load"].any()
    assert run.manifest["timing"]["quadratic[horizon=5]"]["under_load"] is False
    assert (Results(run.folder).trajectories()[TIMES] > 0).all(axis=None)
    assert execute(run.folder, cells).tasks_timed == 0


@pytest.mark.parametrize("under_load", [False, None])
def test_a_run_without_times_gets_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, under_load: bool | None
) -> None:
    cells = make_suite("test", SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}]}).cells()
    timing_load(monkeypatch, under_load)
    execute(tmp_path / "run", cells, timing=False)
    assert RunFolder(tmp_path / "run").read("timing").empty
    outcome = execute(tmp_path / "run", cells)
    assert (outcome.computed, outcome.tasks_timed) == (0, 1)
    assert (Results(tmp_path / "run").trajectories()[TIMES] > 0).all(axis=None)
    assert execute(tmp_path / "run", cells).tasks_timed == 0


def test_a_part_of_a_run_leaves_the_times_of_the_whole(finished: Path) -> None:
    cells = make_suite("test", SUITE).cells()
    timed = RunFolder(finished).read("timing")
    outcome = execute(finished, [cell for cell in cells if cell.optimizer.name == "adam"])
    assert (outcome.computed, outcome.tasks_timed) == (0, 0)
    pd.testing.assert_frame_equal(RunFolder(finished).read("timing"), timed)


def test_times_of_another_protocol_are_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of versions that did not watch the load."""
    cells = make_suite("test", SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}]}).cells()
    with monkeypatch.context() as patch:
        patch.setattr(timing, "PROTOCOL", "median of 50 steps")
        execute(tmp_path / "run", cells)
    outcome = execute(tmp_path / "run", cells)
    assert (outcome.computed, outcome.tasks_timed) == (0, 1)


def test_other_settings_in_the_same_folder_are_a_conflict(finished: Path) -> None:
    cells = make_suite("test", SUITE | {"seeds": 6}).cells()
    with pytest.raises(StoreError, match="seeds was 5, now 6"):
        execute(finished, cells)
    assert len(rows(finished)) == 50


def test_a_conflict_in_the_tuning_is_no_row(tmp_path: Path) -> None:
    """A run killed between tuning and its cell, then asked for otherwise: nothing may be recorded as an error."""
    small = SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}], "optimizers": ["sgd"], "tracks": ["tuned"]}
    execute(tmp_path / "run", make_suite("test", small).cells())
    (cell,) = (tmp_path / "run" / "cells").glob("*.parquet")
    cell.unlink()
    with pytest.raises(StoreError, match="tuning_seeds was 3, now 2"):
        execute(tmp_path / "run", make_suite("test", small | {"tuning_seeds": 2}).cells())
    assert not cell.exists()


def test_force_replaces(tmp_path: Path) -> None:
    small = SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}], "optimizers": ["sgd"]}
    execute(tmp_path / "run", make_suite("test", small).cells())
    outcome = execute(tmp_path / "run", make_suite("test", small | {"seeds": 2}).cells(), force=True)
    assert outcome.computed == 2
    assert len(rows(tmp_path / "run")) == 4


class Raises(SGD):
    """A stranger's rule with a defect."""

    name = "raises"

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        raise ZeroDivisionError("a stranger's mistake")


class Explodes(SGD):
    """Doubles the parameters a thousandfold each step."""

    name = "explodes"
    tunable = ()

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        return 1000 * param, state


def test_failures_are_rows_with_reasons(tmp_path: Path) -> None:
    task = Quadratic(horizon=5)
    cells = [Cell(task, rule, track, 3, 2) for rule in (Raises(), Explodes(), SGD(lr=0.001)) for track in ("default",)]
    cells.append(Cell(task, Raises(), "tuned", 3, 2))
    outcome = execute(tmp_path / "run", cells)
    assert len(outcome.errors) == 2
    assert all("ZeroDivisionError: a stranger's mistake" in line for line in outcome.errors)
    frame = rows(tmp_path / "run")
    status = frame.groupby(["optimizer", "track"])["status"].agg(list)
    assert status["raises", "default"] == status["raises", "tuned"] == ["error"] * 3
    assert status["explodes", "default"] == ["diverged"] * 3
    assert status["sgd", "default"] == ["ok"] * 3
    diverged = frame[frame["status"] == "diverged"].iloc[0]
    assert math.isinf(diverged["final_loss"])
    assert 0 < diverged["failed_step"] <= 5
    assert "not finite" in diverged["reason"]
    assert frame.loc[frame["status"] == "error", "final_loss"].isna().all()


def test_a_grown_suite_keeps_what_it_had(tmp_path: Path) -> None:
    small = SUITE | {"tasks": [{"task": "quadratic[horizon=5]"}], "tracks": ["default"]}
    for optimizers in (["sgd"], ["sgd", "adam"], ["nag"]):
        execute(tmp_path / "run", make_suite("test", small | {"optimizers": optimizers}).cells())
    assert set(rows(tmp_path / "run")["optimizer"]) == {"sgd", "adam", "nag"}
    manifest = RunFolder(tmp_path / "run").manifest
    assert [cell["optimizer"] for cell in manifest["cells"]] == ["sgd", "adam", "nag"]
    assert len(manifest["starts"]) == 3


class FailsOnFewer(SGD):
    """Raises on a batch of fewer than three seeds."""

    name = "fails-on-fewer"

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        if 1 < len(grad) < 3:
            raise ZeroDivisionError
        return super().update_tensor(grad, state, param)


def test_an_error_in_a_later_batch_leaves_the_earlier_rows(tmp_path: Path) -> None:
    execute(tmp_path / "run", [Cell(Quadratic(horizon=5), FailsOnFewer(), "default", 5, 2)], seeds_at_once=3)
    assert rows(tmp_path / "run")["status"].tolist() == ["ok"] * 3 + ["error"] * 2


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="no run"):
        execute(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_manifest_says_on_what_and_with_what(finished: Path) -> None:
    manifest = RunFolder(finished).manifest
    assert manifest["environment"]["threads"] == 1
    assert {"torch", "l2obench"} <= manifest["environment"]["versions"].keys()
    assert {"processor", "commit", "dirty", "device"} <= manifest["environment"].keys()
    assert len(manifest["sources"]["mnist5k"]["sha256"]) == 64
    assert len(manifest["cells"]) == 10


def test_floors_and_directions_of_metrics_are_recorded(finished: Path) -> None:
    floors = rows(finished).groupby("task")["floor"].agg(["min", "max"])
    assert floors.loc["quadratic[horizon=15]"].tolist() == [Quadratic.floor] * 2
    about = RunFolder(finished).manifest["tasks"]["mnist-mlp[batch=8,horizon=12,units=4]"]
    assert about["floor"] == floors.loc["mnist-mlp[batch=8,horizon=12,units=4]", "min"]
    assert about["metric_directions"] == {"loss": "lower", "accuracy": "higher"}


def test_manifest_says_what_tasks_are_and_what_checkpoints_were_trained_on(finished: Path) -> None:
    manifest = RunFolder(finished).manifest
    digits = manifest["tasks"]["mnist-mlp[batch=8,horizon=12,units=4]"]
    assert (digits["parameters"]["units"], digits["sources"]) == (4, ["mnist5k"])
    assert digits["parameters"]["activation"] == "sigmoid"  # a default is written out
    (trained,) = set(rows(finished)["checkpoint_sha256"].dropna())
    assert manifest["recipes"][trained]["task"] == "quadratic"
