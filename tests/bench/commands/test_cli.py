"""The command line as a user meets it: real processes, real kills, one clear line for each mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.store.run_folder import RunFolder

RUN = ["run", "-t", "quadratic[horizon=60]", "-t", "mnist-mlp[horizon=40]", "-o", "sgd", "-o", "adam", "--seeds", "4"]
TRAIN = ["train", "lstm[hidden=6,output_scale=1,preprocessing=none]", "-t", "quadratic[dim=4]", "--functions", "16"]
TRAIN += ["--trajectories", "24", "--validate-every", "4", "--validation-functions", "8"]


def heed_interrupts() -> None:
    """In the child: tests that run in the background of a shell inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "l2obench", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts)


def l2obench(*arguments: str, folder: Path, code: int = 0) -> str:
    """Run the command to its end; what it printed (what it complained of, if it was to fail)."""
    process = start(*arguments, folder=folder)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, output + errors
    return errors if code else output


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError


def losses(folder: Path) -> dict[tuple[object, ...], list[float]]:
    frame = pd.read_parquet(folder / "cells")
    keys = ["task", "optimizer", "track", "hyperparameters", "seed"]
    return {tuple(row[key] for key in keys): list(row["loss"]) for row in frame.to_dict("records")}


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    l2obench(*RUN, "--out", "undisturbed", folder=tmp_path)
    process = start(*RUN, "--out", "killed", folder=tmp_path)
    wait_until(lambda: len(list((tmp_path / "killed" / "cells").glob("*.parquet"))) >= 2)
    process.kill()
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "cells").glob("*.parquet")}
    assert 2 <= len(finished) < 8
    output = l2obench(*RUN, "--out", "killed", folder=tmp_path)
    assert "already computed" in output
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    expected, found = losses(tmp_path / "undisturbed"), losses(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for key in expected:
        np.testing.assert_array_equal(expected[key], found[key])


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    l2obench(*TRAIN, "--out", "undisturbed", folder=tmp_path)
    process = start(*TRAIN, "--out", "killed", folder=tmp_path)
    wait_until((tmp_path / "killed" / "checkpoint.safetensors").exists)
    process.kill()
    process.wait()
    assert "resuming at trajectory" in l2obench(*TRAIN, "--out", "killed", folder=tmp_path)
    first, second = (
        json.loads(l2obench("info", f"lstm[checkpoint={name}/checkpoint.safetensors]", "--json", folder=tmp_path))
        for name in ("undisturbed", "killed")
    )
    assert first["recipe"]["validation_loss"] == second["recipe"]["validation_loss"]
    evaluate = ["run", "-t", "quadratic[dim=4]", "--seeds", "3"]
    found = []
    for name in ("undisturbed", "killed"):
        l2obench(
            *evaluate, "-o", f"lstm[checkpoint={name}/checkpoint.safetensors]", "--out", f"of-{name}", folder=tmp_path
        )
        found.append(list(losses(tmp_path / f"of-{name}").values()))
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("command", "sign", "sent", "code"),
    [
        (RUN, "manifest.json", signal.SIGINT, 130),
        (TRAIN, "checkpoint.safetensors", signal.SIGINT, 130),
        (RUN, "manifest.json", signal.SIGTERM, 143),
        (TRAIN, "checkpoint.safetensors", signal.SIGTERM, 143),
    ],
)
def test_interrupt_keeps_what_is_finished(
    tmp_path: Path, command: list[str], sign: str, sent: signal.Signals, code: int
) -> None:
    process = start(*command, "--out", "it", folder=tmp_path)
    wait_until((tmp_path / "it" / sign).exists)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.count("\n") == 1
    assert "the same command again to resume" in errors
    l2obench(*command, "--out", "it", folder=tmp_path)


def test_run_and_report(tmp_path: Path) -> None:
    l2obench(*RUN[:3], "-o", "adam", "-o", "lstm[checkpoint=quadratic]", "--seeds", "6", folder=tmp_path)
    name = "quadratic-horizon-60--adam+lstm-quadratic"
    assert RunFolder(tmp_path / "results" / name).manifest["suite"] == "custom"
    output = l2obench("report", name, folder=tmp_path)
    assert "lstm[checkpoint=quadratic]" in output
    assert output.splitlines()[-1].startswith(f"Report written to results/{name}/report/index.html (")
    assert (tmp_path / "results" / name / "report" / "index.html").stat().st_size > 10_000


def test_help_lists_and_info(tmp_path: Path) -> None:
    for command in ("run", "train", "report", "list", "info", "prepare"):
        assert "Usage" in l2obench(command, "--help", folder=tmp_path)
        assert command in l2obench(folder=tmp_path)
    assert "lstm[checkpoint=mnist]" in l2obench("run", "--help", folder=tmp_path)
    listed = json.loads(l2obench("list", "--json", folder=tmp_path))
    assert {"quadratic", "mnist-mlp"} <= listed["tasks"].keys()
    assert {"adam", "lstm"} <= listed["optimizers"].keys()
    assert {"quadratic", "mnist"} <= listed["checkpoints"].keys()
    assert "quick" in l2obench("list", "suites", folder=tmp_path)
    assert "activation" in l2obench("info", "mnist-mlp", folder=tmp_path)
    assert "Recipe of its training" in l2obench("info", "lstm[checkpoint=mnist]", folder=tmp_path)
    assert "torch" in l2obench("info", folder=tmp_path)
    assert l2obench("--version", folder=tmp_path).startswith("l2obench 0.")


def test_lists_come_without_torch(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['l2obench', 'list']\ntry:\n import l2obench.__main__\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_prepare_digits(tmp_path: Path) -> None:
    assert "4,000 train, 1,000 test" in l2obench("prepare", "--data-dir", "data", folder=tmp_path)
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
    (["train", "adam", "-t", "quadratic"], "must be a learned optimizer, got adam"),
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
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    errors = l2obench(*arguments, folder=tmp_path, code=2)
    assert message in errors
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_failing_plugin_ends_with_code_three_and_rows(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(
        "from l2obench.optimizers.designed.sgd import SGD\n"
        "class Raises(SGD):\n"
        "    def update_tensor(self, grad, state, param):\n"
        "        raise ZeroDivisionError('a mistake')\n"
    )
    arguments = ["run", "-t", "quadratic", "-o", "stranger.Raises", "-o", "adam", "--seeds", "2", "--out", "it"]
    errors = l2obench(*arguments, folder=tmp_path, code=3)
    assert "ZeroDivisionError: a mistake" in errors
    frame = pd.read_parquet(tmp_path / "it" / "cells")
    assert frame.groupby("optimizer")["status"].agg(set).to_dict() == {"adam": {"ok"}, "stranger.Raises": {"error"}}


def test_results_of_another_checkpoint_are_a_conflict(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        short = [*TRAIN, "--trajectories", "4", "--seed", seed, "--out", f"training-{seed}"]
        l2obench(*short, folder=tmp_path)
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
    l2obench(*evaluate, folder=tmp_path)
    os.replace(tmp_path / "training-2" / "checkpoint.safetensors", mine)
    assert "checkpoint_sha256 was" in l2obench(*evaluate, folder=tmp_path, code=2)
