"""A library of strangers' optimizers as baselines, by name alone: no line of ours knows them."""

import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder

LIBRARY = ["pytorch_optimizer.Lion", "pytorch_optimizer.Prodigy", "pytorch_optimizer.SOAP"]
GROUPED = '''
"""What a user of the library's Muon has to write anyway: which parameters are its own."""
import pytorch_optimizer


class Muon(pytorch_optimizer.Muon):
    def __init__(self, params, lr=0.02):
        params = list(params)
        matrices = [param for param in params if param.ndim == 2]
        others = [param for param in params if param.ndim != 2]
        groups = [{"params": matrices, "use_muon": True}, {"params": others, "use_muon": False}]
        super().__init__([group for group in groups if group["params"]], lr=lr)
'''
MATRICES = '''
"""A task whose parameters are all matrices."""
import torch
from l2obench.tasks.base import Problem, Task


class Factor(Task):
    """Minimise |AB - C|²."""

    def sample(self, generator):
        a, b, c = (torch.randn(6, 6, generator=generator) for _ in range(3))
        return Problem({"a": a, "b": b}, {"c": c})

    def loss(self, params, batch):
        return (params["a"] @ params["b"] - batch["c"]).square().mean()
'''


def execute(folder: Path, tasks: list[str], optimizers: list[str], tracks: list[str]) -> pd.DataFrame:
    suite = {
        "seeds": 3,
        "tuning_seeds": 2,
        "tracks": tracks,
        "optimizers": optimizers,
        "tasks": [{"task": name} for name in tasks],
    }
    Runner(RunFolder(folder), make_suite("test", suite).cells()).execute({"suite": "test"})
    return pd.read_parquet(folder / "cells")


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grouped.py").write_text(GROUPED)
    (tmp_path / "matrices.py").write_text(MATRICES)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("grouped", "matrices"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.slow
def test_the_librarys_optimizers_run_in_both_tracks_on_quadratics(tmp_path: Path) -> None:
    frame = execute(tmp_path / "run", ["quadratic[horizon=30]"], LIBRARY, ["default", "tuned"])
    assert set(frame["optimizer"]) == set(LIBRARY)
    assert set(frame["status"]) == {"ok"}
    for (_, track), rows in frame.groupby(["optimizer", "track"]):
        start, final = rows["loss"].str[0].mean(), rows["final_loss"].mean()
        assert final < (0.5 * start if track == "tuned" else start)
    assert (frame["state_bytes"] > 0).all()
    # Cells have no times that were taken under load, and tests run side by side; the timing pass keeps them all.
    assert (pd.read_parquet(tmp_path / "run" / "timing")["update_seconds"] > 0).all()


def test_they_train_perceptrons_and_muon_its_matrices(tmp_path: Path) -> None:
    task = "mnist-mlp[batch=16,horizon=20,units=5]"
    frame = execute(tmp_path / "run", [task], [*LIBRARY, "grouped.Muon"], ["default"])
    assert set(frame["status"]) == {"ok"}
    assert frame["heldout_accuracy"].between(0, 1).all()


def test_muon_runs_where_its_constraints_allow_and_says_why_elsewhere(tmp_path: Path) -> None:
    tasks = ["matrices.Factor[horizon=30]", "quadratic[horizon=30]"]
    frame = execute(tmp_path / "run", tasks, ["torch.optim.Muon[lr=0.02]", "grouped.Muon"], ["default"])
    status = frame.groupby(["task", "optimizer"])["status"].agg(set).to_dict()
    assert status[tasks[0], "torch.optim.Muon[lr=0.02]"] == status[tasks[0], "grouped.Muon"] == {"ok"}
    assert status[tasks[1], "torch.optim.Muon[lr=0.02]"] == {"error"}
    refused = frame[frame["status"] == "error"]["reason"]
    assert refused.str.startswith("ValueError: Muon only supports 2D parameters").all()
    matrices = frame[frame["task"] == tasks[0]]
    assert (matrices["final_loss"] < matrices["loss"].str[0]).all()
    assert all(math.isfinite(value) for value in matrices["final_loss"])
