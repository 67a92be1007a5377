"""`l2obench train` that gets nowhere, since a plugin raises or no loss is finite: one line, exit code 3."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from l2obench.bench.commands.cli import main
from l2obench.bench.commands.process import raise_terminated
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.trainer import Trainer

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


RUDE = """
import os, signal, torch
from l2obench.tasks.quadratic import Quadratic


class Rude(Quadratic):
    def sample(self, generator):
        problem = super().sample(generator)
        os.chdir("/")
        os.umask(0o777)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.set_default_dtype(torch.float64)
        return problem


class Draws(Quadratic):
    def sample(self, generator):
        problem = super().sample(generator)
        problem.params["theta"].add_(torch.randn(3))
        return problem
"""


def trained(folder: str, task: str, *more: str) -> dict[str, Tensor]:
    sys.argv = ["l2obench", "train", "lstm[hidden=4]", "-t", task, *SMALL, *more, "--out", folder]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    return load_file(f"{folder}/state.safetensors")


def test_a_rude_task_changes_nothing_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rude.py").write_text(RUDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    trained("it", "./rude.py:Rude[dim=3,horizon=20]")
    assert Path.cwd() == tmp_path
    assert signal.getsignal(signal.SIGTERM) is raise_terminated
    assert torch.get_default_dtype() == torch.float32
    assert (tmp_path / "it" / "checkpoint.safetensors").stat().st_mode & 0o400


def test_a_training_goes_on_with_the_numbers_that_a_task_draws_globally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rude.py").write_text(RUDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    task, number = "./rude.py:Draws[dim=3,horizon=20]", SMALL.index("--trajectories") + 1
    whole = trained("whole", task)

    class Stop(BaseException):
        exit_code = 130

    run = Trainer.run_trajectory

    def once(self: Trainer, progress: Progress, *_: object) -> Progress:
        if progress.trajectory:
            raise Stop
        return run(self, progress)

    monkeypatch.setattr(Trainer, "run_trajectory", once)
    with pytest.raises(Stop):
        trained("parts", task)
    monkeypatch.setattr(Trainer, "run_trajectory", run)
    assert SMALL[number] == "2"
    parts = trained("parts", task)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize(("death", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 11)", -11), ("pass", 0)])
def test_a_crash_in_a_training_is_one_line(tmp_path: Path, death: str, code: int) -> None:
    (tmp_path / "dies.py").write_text(
        "import os\nfrom l2obench.tasks.quadratic import Quadratic\nclass Dies(Quadratic):\n"
        f"    def sample(self, generator):\n        {death}\n        return super().sample(generator)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "l2obench", "train", "lstm[hidden=4]", "-t", "./dies.py:Dies[dim=3,horizon=20]", *SMALL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("l2obench: ")]
    assert len(lines) == (code != 0)
    assert all("./dies.py:Dies takes part" in line and "Try: " in line for line in lines)
