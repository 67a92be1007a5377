"""The command line as a user meets it: real processes, real kills, one clear line for each mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from l2obench.bench.metatrain.session import CHECKPOINT
from l2obench.bench.store.run_folder import RunFolder
from tests.processes import assert_same, before_file, die, ended, forked

RUN = ["run", "-t", "quadratic[horizon=60]", "-t", "mnist-mlp[batch=8,horizon=20,units=4]", "-o", "sgd", "-o", "adam"]
RUN += ["--seeds", "4"]
TRAIN = [
    "train",
    "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "-t",
    "quadratic[dim=4,horizon=40]",
    "--functions",
    "8",
]
TRAIN += ["--trajectories", "12", "--validate-every", "4", "--validation-functions", "8"]


class Command:
    """The command in processes of its own, in an empty folder."""

    def __init__(self, folder: Path, printed: Path) -> None:
        self.folder, self.printed = folder, printed

    def start(self, *arguments: str, first: Callable[[], object] = lambda: None) -> int:
        return forked(*arguments, folder=self.folder, first=first, printed=self.printed)

    def __call__(self, *arguments: str, code: int = 0, first: Callable[[], object] = lambda: None) -> str:
        """Run it to its end; what it printed (what it complained of, if it was to fail)."""
        found = ended(self.start(*arguments, first=first))
        errors = self.errors()
        output = (self.printed / "out").read_text(encoding="utf-8")
        assert found == code, output + errors
        return errors if code else output

    def errors(self) -> str:
        return (self.printed / "err").read_text(encoding="utf-8")


@pytest.fixture
def l2obench(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path, tmp_path_factory.mktemp("printed"))


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(l2obench: Command, tmp_path: Path) -> None:
    l2obench(*RUN, "--out", "undisturbed")
    # A third file of cells is written, and not yet in its place.
    l2obench(*RUN, "--out", "killed", code=-signal.SIGKILL, first=partial(before_file, "*/cells/*", 3, die))
    assert len(list((tmp_path / "killed" / "cells").glob("*.parquet"))) == 2
    assert ", 2 already computed" in l2obench(*RUN, "--out", "killed")
    assert_same(tmp_path / "undisturbed", tmp_path / "killed")


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(l2obench: Command, tmp_path: Path) -> None:
    l2obench(*TRAIN, "--out", "undisturbed")
    l2obench(*TRAIN, "--out", "killed", code=-signal.SIGKILL, first=partial(before_file, f"*/{CHECKPOINT}", 2, die))
    assert "resuming at trajectory" in l2obench(*TRAIN, "--out", "killed")
    first, second = (
        json.loads(l2obench("info", f"lstm[checkpoint={name}/checkpoint.safetensors]", "--json"))
        for name in ("undisturbed", "killed")
    )
    assert first["recipe"]["validation_loss"] == second["recipe"]["validation_loss"]
    first, second = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("undisturbed", "killed"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("command", "file", "resumed"),
    [(RUN, "cells/*.parquet", "already computed"), (TRAIN, CHECKPOINT, "resuming at trajectory")],
    ids=["run", "train"],
)
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_keeps_what_is_finished(
    l2obench: Command, tmp_path: Path, command: list[str], file: str, resumed: str, sent: signal.Signals, code: int
) -> None:
    def wait() -> None:
        (tmp_path / "waits").touch()
        time.sleep(3600)

    child = l2obench.start(*command, "--out", "it", first=partial(before_file, f"*/{file}", 2, wait))
    wait_until((tmp_path / "waits").exists)
    os.kill(child, sent)
    assert ended(child) == code
    assert l2obench.errors().count("\n") == 1
    assert "the same command again to resume" in l2obench.errors()
    assert resumed in l2obench(*command, "--out", "it")


def test_run_and_report(l2obench: Command, tmp_path: Path) -> None:
    l2obench(*RUN[:3], "-o", "adam", "-o", "lstm[checkpoint=quadratic]", "--seeds", "6")
    name = "quadratic-horizon-60--adam+lstm-quadratic"
    assert RunFolder(tmp_path / "results" / name).manifest["suite"] == "custom"
    output = l2obench("report", name)
    assert "lstm[checkpoint=quadratic]" in output
    assert output.splitlines()[-1].startswith(f"Report written to results/{name}/report/index.html (")
    assert (tmp_path / "results" / name / "report" / "index.html").stat().st_size > 10_000


def test_help_lists_and_info(l2obench: Command) -> None:
    for command in ("run", "train", "report", "list", "info", "prepare"):
        assert "Usage" in l2obench(command, "--help")
        assert command in l2obench()
    assert "lstm[checkpoint=mnist]" in l2obench("run", "--help")
    listed = json.loads(l2obench("list", "--json"))
    assert {"quadratic", "mnist-mlp"} <= listed["tasks"].keys()
    assert {"adam", "lstm"} <= listed["optimizers"].keys()
    assert {"quadratic", "mnist"} <= listed["checkpoints"].keys()
    assert "quick" in l2obench("list", "suites")
    assert "activation" in l2obench("info", "mnist-mlp")
    assert "Recipe of its training" in l2obench("info", "lstm[checkpoint=mnist]")
    assert "torch" in l2obench("info")
    assert l2obench("--version").startswith("l2obench 0.")


def test_lists_come_without_torch(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['l2obench', 'list']\ntry:\n import l2obench.__main__\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_prepare_digits(l2obench: Command, tmp_path: Path) -> None:
    assert "4,000 train, 1,000 test" in l2obench("prepare", "--data-dir", "data")
    assert list((tmp_path / "data").glob("mnist5k-*.safetensors"))


MISTAKES = [
    (["run", "quik"], "Did you mean quick"),
    (["run"], "a suite is required"),
    (["run", "-t", "quadratic", "-o", "adma"], "Did you mean adam"),
    (["run", "-t", "quadratic[dim=1.5]", "-o", "adam"], "dim must be a valid integer"),
    (["run", "-t", "quadratic[", "-o", "adam"], "not an identity"),
    (["run", "-t", "quadratic", "-o", "lstm"], "no meta-parameters"),
    (["run", "-t", "quadratic", "-o", "lstm[checkpoint=/nowhere.safetensors]"], "cannot be read"),
    (["run", "-t", "mnist-mlp[data=mnist]", "-o", "adam", "--data-dir", "empty"], "l2obench prepare mnist"),
    (["run", "quick", "--seeds", "none"], "--seeds"),
    (["run", "quick", "--device", "cuda:99"], "got cuda:99"),
    (["run", "quick", "--device", "warp"], "got warp"),
    (["run", "quick", "--device", "meta"], "must be a device that works here, got meta"),
    (["run", "quick", "--out", "thesis.tex"], "thesis.tex"),
    (["run", "quick", "--out", "."], "is no run"),
    (["run", "quick", "--out", "/proc/nowhere"], "/proc/nowhere cannot be written"),
    (["train", "lstm", "-t", "quadratic", "--out", "/proc/nowhere"], "/proc/nowhere cannot be written"),
    (["run", "thesis.tex.toml"], "cannot be read"),
    (["report", "nowhere"], "is no run"),
    (["train", "adam", "-t", "quadratic"], "must be learned, without a schedule, got adam"),
    (["train", "lstm"], "recipe paper names none. Try: -t quadratic"),
    (["train", "lstm", "-t", "quadratic", "--recipe", "papr"], "Did you mean paper"),
    (["train", "lstm", "-t", "quadratic", "--weighting", "best"], "weighting"),
    (["train", "lstm", "-t", "quadratic", "--unroll", "101"], "unroll must be at most the horizon"),
    (["train-suite", "quick"], "it trains nothing"),
    (["train-suite", "weightings", "--only", "loss"], "it has 28, such as loss-uniform-u20-s0"),
    (["run", "quick", "--trained", "nowhere"], "needs a suite with [[trainings]]"),
    (["info", "adamm"], "Did you mean adam"),
    (["list", "task"], "Did you mean tasks"),
    (["prepare", "cifar"], "Known: cifar10, mnist, mnist1d, mnist5k, photos10"),
    (["walk"], "walk"),
    (["test-plugin", "adamm"], "Did you mean adam"),
    (["test-plugin", "pathlib.Path"], "must be a subclass of"),
    (["run", "quick", "--timeout", "nan"], "must be a number of seconds"),
    (["run", "quick", "--timeout", "0"], "must be a number of seconds"),
    (["run", "quick", "--workers", "2"], "Try: --executor local"),
    (["run", "quick", "--executor", "slurm"], "slurm"),
    (["run", "quick", "--executor", "dask", "--resources", "GPU"], "must be NAME=AMOUNT,…, got 'GPU'"),
    (["run", "quick", "--scheduler", "nowhere://1"], "Try: an address such as tcp://host:8786"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing(
    l2obench: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    errors = l2obench(*arguments, code=2)
    assert message in errors
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_failing_plugin_ends_with_code_three_and_rows(l2obench: Command, tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(
        "from l2obench.optimizers.designed.sgd import SGD\n"
        "class Raises(SGD):\n"
        "    def update_tensor(self, grad, state, param):\n"
        "        raise ZeroDivisionError('a mistake')\n"
    )
    arguments = ["run", "-t", "quadratic", "-o", "stranger.Raises", "-o", "adam", "--seeds", "2", "--out", "it"]
    errors = l2obench(*arguments, code=3)
    assert "ZeroDivisionError: a mistake" in errors
    frame = pd.read_parquet(tmp_path / "it" / "cells")
    assert frame.groupby("optimizer")["status"].agg(set).to_dict() == {"adam": {"ok"}, "stranger.Raises": {"error"}}


def test_results_of_another_checkpoint_are_a_conflict(l2obench: Command, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        short = [*TRAIN, "--trajectories", "4", "--seed", seed, "--out", f"training-{seed}"]
        l2obench(*short)
    mine = tmp_path / "mine.safetensors"
    evaluate = [
        "run",
        "-t",
        "quadratic[dim=4]",
        "-o",
        "lstm[checkpoint=mine.safetensors]",
        "--seeds",
        "2",
        "--out",
        "it",
    ]
    os.replace(tmp_path / "training-1" / "checkpoint.safetensors", mine)
    l2obench(*evaluate)
    os.replace(tmp_path / "training-2" / "checkpoint.safetensors", mine)
    assert "checkpoint_sha256 was" in l2obench(*evaluate, code=2)
