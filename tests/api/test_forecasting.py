"""The forecast of a run: whose cells it tries, what it says of those it does not, and when a run begins with it."""

from pathlib import Path

import pytest

from l2obench.api import execution, forecasting
from l2obench.api.forecasting import Forecast, count_steps, forecast
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, make_suite

PLUGIN = """
import torch
from torch import nn

from l2obench.tasks.module import ModuleTask


class Line(ModuleTask):
    horizon: int = 5

    def make_model(self):
        return nn.Linear(1, 1)

    def training_data(self):
        x = torch.linspace(-1, 1, 64).unsqueeze(1)
        return x, 2 * x + 1

    def batch_loss(self, model, batch):
        x, y = batch
        return nn.functional.mse_loss(model(x), y)


class Broken(Line):
    def batch_loss(self, model, batch):
        raise RuntimeError("it has no loss")
"""


def plan(*tasks: str) -> list[Cell]:
    suite = {"optimizers": ["sgd"], "tasks": [{"task": task} for task in tasks], "seeds": 2, "tuning_seeds": 2}
    return make_suite("custom", suite).cells()


def test_a_plugins_cells_are_tried_in_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecasting, "TRIAL_SECONDS", 1e9)  # on a busy machine they may take any time
    found = forecast(plan("./mine.py:Line", "./mine.py:Broken"), tmp_path / "results", RunOptions())
    assert (found.cells, found.forecast_cells) == (4, 2)
    assert found.seconds > 0
    assert found.memory_bytes > 0
    assert len(found.errors) == 1
    assert "RuntimeError: it has no loss" in found.errors[0]
    lines = found.lines()
    assert lines[0].startswith("Time: more than ")
    assert any("2 of 4 cells are left out" in line for line in lines)
    assert not (tmp_path / "results").exists()


def test_cells_without_a_trial_make_the_time_a_lower_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = plan("quadratic[dim=2,horizon=3]", "quadratic[dim=3,horizon=3]")
    monkeypatch.setattr(forecasting, "TRIAL_SECONDS", -1.0)
    assert forecast(cells, tmp_path, RunOptions()).lines() == ["No forecast: no trial was finished."]
    partly = Forecast(4, 0, 24, 252, 2, 600.0, 1.0, 2**20)
    assert partly.lines()[0] == "Time: more than 10 min in one process, and 1 s of timing"
    assert partly.lines()[2].endswith(
        "2 of 4 cells are left out: their trial failed, or trials had taken -1 s before it."
    )


def test_tuning_counts_one_grid_or_a_third_of_it_and_two_rates_between() -> None:
    cells = plan("quadratic[dim=2,horizon=9]")
    refined = 2 * 2 * 9
    assert count_steps(cells) == (36, 21 * 2 * 9 + refined)
    task = {"task": "quadratic[horizon=9]", "halving": True}
    halved = make_suite("custom", {"optimizers": ["sgd"], "tasks": [task], "seeds": 2, "tuning_seeds": 2}).cells()
    assert count_steps(halved) == (36, 21 * 2 * 9 // 3 + refined)


def test_a_long_run_begins_with_its_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from l2obench import run

    def call(folder: str) -> str:
        run(tasks="quadratic[dim=2,horizon=3]", optimizers="sgd", seeds=1, out=tmp_path / folder, timing=False)
        return capsys.readouterr().out

    short = call("short")
    assert short.startswith("Plan: 2 cells")
    assert "Time: about" not in short
    monkeypatch.setattr(execution, "LONG", 10)
    long = call("long")
    assert long.index("Plan: ") < long.index("Time: about") < long.index("Memory of the replicas") < long.index("mean")
    assert "Time: about" not in call("long")
