"""A terminal that is closed, and a clock that jumps by hours: the same numbers, and no absurd second."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.processes import assert_same, before_file, command, ended, forked

TASKS = ["-t", "quadratic[dim=3,horizon=5]", "-t", "quadratic[dim=4,horizon=5]"]
RUN = ["run", *TASKS, "-o", "sgd", "-o", "adam", "--seeds", "2", "--no-timing"]
TRAIN = ["train", "lstm[hidden=4]", "-t", "quadratic[dim=3]", "--functions", "4", "--trajectories", "4"]
TRAIN += ["--validate-every", "1", "--validation-functions", "4"]
SECONDS = 60.0  # a run of these takes one or two


def closed_before(pattern: str, number: int) -> Callable[[], None]:
    """In the child: its terminal is closed before the so many-th file that fits the pattern."""

    def first() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        before_file(pattern, number, lambda: os.kill(os.getpid(), signal.SIGHUP))

    return first


def ends_by_hangup(arguments: list[str], folder: Path, pattern: str, number: int) -> None:
    code, errors = command(*arguments, folder=folder, first=closed_before(pattern, number))
    assert code == 129, errors
    (line,) = errors.splitlines()
    assert line.endswith("Try: the same command again to resume")


@pytest.mark.parametrize(("pattern", "number"), [("*/cells/*", 2), ("*/tuning/*", 1)])
def test_a_closed_terminal_ends_a_run_that_goes_on_later(tmp_path: Path, pattern: str, number: int) -> None:
    assert command(*RUN, "--out", "undisturbed", folder=tmp_path)[0] == 0
    ends_by_hangup([*RUN, "--out", "it"], tmp_path, pattern, number)
    code, errors = command(*RUN, "--out", "it", folder=tmp_path)
    assert code == 0, errors
    assert_same(tmp_path / "undisturbed", tmp_path / "it")


@pytest.mark.parametrize(("pattern", "number"), [("*/state.safetensors", 2), ("*/checkpoint.safetensors", 1)])
def test_a_closed_terminal_ends_a_training_that_goes_on_later(tmp_path: Path, pattern: str, number: int) -> None:
    assert command(*TRAIN, "--out", "undisturbed", folder=tmp_path)[0] == 0
    ends_by_hangup([*TRAIN, "--out", "it"], tmp_path, pattern, number)
    code, errors = command(*TRAIN, "--out", "it", folder=tmp_path)
    assert code == 0, errors
    one, other = (load_file(tmp_path / name / "state.safetensors") for name in ("undisturbed", "it"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def test_a_closed_terminal_ends_a_report(tmp_path: Path) -> None:
    assert command(*RUN, "--out", "it", folder=tmp_path)[0] == 0

    def first() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        write = Path.write_text

        def closes(path: Path, *given: Any, **more: Any) -> int:
            if path.name == "index.html":
                os.kill(os.getpid(), signal.SIGHUP)
            return write(path, *given, **more)

        Path.write_text = closes  # type: ignore[method-assign]

    code, errors = command("report", "it", folder=tmp_path, first=first)
    assert code == 129, errors
    assert errors.count("\n") == 1
    assert not list((tmp_path / "it").glob("*report*"))
    code, errors = command("report", "it", folder=tmp_path)
    assert code == 0, errors
    assert "</html>" in (tmp_path / "it" / "report" / "index.html").read_text()


def test_nohup_is_respected(tmp_path: Path) -> None:
    def first() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before_file("*/cells/*", 1, lambda: os.kill(os.getpid(), signal.SIGHUP))

    assert ended(forked(*RUN, "--out", "it", folder=tmp_path, first=first)) == 0


JUMPS = """
import itertools, time

_real, _count = time.time, itertools.count()


def _jumping():
    '''Four hours on or back at each call.'''
    return _real() + 14400 * (-1) ** next(_count)


time.time, time.time_ns = _jumping, lambda: int(_jumping() * 1e9)
"""
PLUGIN = """
import time
from l2obench.optimizers.designed.sgd import SGD


class Looks(SGD):
    def update_tensor(self, grad, state, param):
        assert abs(time.time() - time.time()) > 10000
        return super().update_tensor(grad, state, param)


class Hangs(SGD):
    def update_tensor(self, grad, state, param):
        time.sleep(3600)
"""


@pytest.fixture
def jumping(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in a process whose clock jumps, as those that it starts."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(JUMPS)
    path = os.pathsep.join([str(tmp_path / "clock"), *sys.path])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "l2obench", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.slow
def test_a_jumping_clock_changes_no_row_and_no_limit(
    tmp_path: Path, jumping: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "looks.py").write_text(PLUGIN)
    run = ["run", *TASKS[:2], "-o", "sgd", "--seeds", "2", "--tune", "off"]
    assert command(*run, "--out", "undisturbed", folder=tmp_path)[0] == 0
    more = ["-o", "./looks.py:Looks", "-o", "./looks.py:Hangs", "--timeout", "3"]
    done = jumping(*run, *more, "--out", "it")
    assert done.returncode == 3, done.stderr
    frame = pd.read_parquet(tmp_path / "it" / "cells").set_index("optimizer")
    status = frame["status"].groupby(level=0).agg(set).to_dict()
    assert status == {"sgd": {"ok"}, "./looks.py:Looks": {"ok"}, "./looks.py:Hangs": {"timeout"}}
    reference = pd.read_parquet(tmp_path / "undisturbed" / "cells")
    np.testing.assert_array_equal(np.stack(list(reference["loss"])), np.stack(list(frame.loc["sgd", "loss"])))
    timing = pd.read_parquet(tmp_path / "it" / "timing").set_index("optimizer").loc[["sgd", "./looks.py:Looks"]]
    for column in ("grad_seconds", "update_seconds"):
        assert ((timing[column] > 0) & (timing[column] < SECONDS)).all()
    for name, seconds in _seconds(json.loads((tmp_path / "it" / "manifest.json").read_text())):
        assert 0 <= seconds < SECONDS, name
    assert jumping("report", "it").returncode == 0
    assert jumping("check", "it", "it").returncode in (0, 1, 5)


def test_a_jumping_clock_in_a_training(
    tmp_path: Path, jumping: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = jumping(*TRAIN, "--out", "it")
    assert done.returncode == 0, done.stderr
    log = pd.read_csv(tmp_path / "it" / "log.csv")
    for column in [name for name in log if "seconds" in name]:
        assert ((log[column] >= 0) & (log[column] < SECONDS)).all()


def _seconds(value: object, name: str = "") -> list[tuple[str, float]]:
    """All numbers of a manifest whose names speak of seconds."""
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in _seconds(part, str(key))]
    if isinstance(value, list):
        return [found for part in value for found in _seconds(part, name)]
    return [(name, value)] if "seconds" in name and isinstance(value, int | float) else []
