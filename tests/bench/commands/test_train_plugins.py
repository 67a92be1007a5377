"""`l2obench train` that gets nowhere, since a plugin raises or no loss is finite: one line, exit code 3."""

import sys
from pathlib import Path

import pytest

from l2obench.bench.commands.cli import main

PLUGIN = """
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.quadratic import Quadratic


class Raises(Quadratic):
    def sample(self, generator):
        raise ZeroDivisionError("a mistake")


class RaisesLater(Quadratic):
    def minibatch(self, data, draw):
        raise ZeroDivisionError("a mistake")


class Mute(LSTM):
    def init(self, params):
        raise KeyError("a mistake")


class Infinite(Quadratic):
    def final_loss(self, losses):
        return super().final_loss(losses) * float("inf")
"""
SMALL = ["--functions", "4", "--trajectories", "2", "--validation-functions", "4", "--validate-every", "1"]


@pytest.mark.parametrize(
    ("rule", "task", "message"),
    [
        ("lstm[hidden=4]", "./bad.py:Raises[dim=3,horizon=20]", "ZeroDivisionError: a mistake"),
        ("lstm[hidden=4]", "./bad.py:RaisesLater[dim=3,horizon=20]", "ZeroDivisionError: a mistake"),
        ("./bad.py:Mute[hidden=4]", "quadratic[dim=3,horizon=20]", "KeyError: 'a mistake'"),
        ("lstm[hidden=4]", "./bad.py:Infinite[dim=3,horizon=20]", "infinite at every validation"),
    ],
)
def test_a_training_that_gets_nowhere_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: str,
    task: str,
    message: str,
) -> None:
    (tmp_path / "bad.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["l2obench", "train", rule, "-t", task, *SMALL, "--out", "training"])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 3
    (line,) = shown.err.splitlines()
    assert message in line
    assert "Try: " in line
    assert "Checkpoint" not in shown.out
    assert not (tmp_path / "training" / "checkpoint.safetensors").exists()
