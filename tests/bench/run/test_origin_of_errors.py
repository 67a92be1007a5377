"""Only what an optimizer's or a task's own code raises is its result; a full disk or a line of progress is not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, make_suite
from l2obench.bench.failures import RunStopped
from l2obench.bench.run import jobs
from l2obench.bench.run.executors.local import LocalExecutor
from l2obench.bench.run.executors.serial import SerialExecutor
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.base import State
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic

COMMAND = [sys.executable, "-m", "l2obench", "run", "-t", "quadratic[horizon=3]", "-o", "sgd", "--seeds", "2"]


def cells(*optimizers: str) -> list[Cell]:
    values = {"optimizers": optimizers, "tasks": [{"task": "quadratic[horizon=3]"}], "seeds": 2, "tuning_seeds": 1}
    return make_suite("test", values).cells()


def execute(folder: Path, planned: list[Cell], report: Callable[[str], object] = lambda _: None) -> Outcome:
    return Runner(RunFolder(folder), planned, RunOptions(), report=report).execute({"suite": "test"})


def test_a_locale_without_the_times_sign_costs_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "--out", tmp_path / "run"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "learning rates \\xd7 10 seeds" in done.stdout
    assert set(RunFolder(tmp_path / "run").read("cells")["status"]) == {"ok"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_behind_standard_output_costs_nothing_and_is_said(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "--out", tmp_path / "run"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    line = "l2obench: standard output cannot be written: No space left on device. The command's work is done\n"
    assert done.stderr == line
    assert set(RunFolder(tmp_path / "run").read("cells")["status"]) == {"ok"}


def test_a_reader_that_ended_costs_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "--out", tmp_path / "run"], stdout=write, stderr=write)
    os.close(write)
    assert done.returncode == 0
    assert set(RunFolder(tmp_path / "run").read("cells")["status"]) == {"ok"}


@pytest.mark.parametrize("make", [SerialExecutor, lambda report: LocalExecutor(1, report=report)])
def test_a_report_that_fails_stops_the_run_and_is_no_row(tmp_path: Path, make: Callable[..., object]) -> None:
    def fail(line: str) -> None:
        if "tuning" in line:
            raise OSError(28, "No space left on device")

    executor = make(report=fail)
    runner = Runner(RunFolder(tmp_path / "run"), cells("sgd"), executor=executor)  # type: ignore[arg-type]
    with pytest.raises(RunStopped, match=r"sgd tuned: .*No space left .*not stored"):
        runner.execute({"suite": "test"})
    assert set(RunFolder(tmp_path / "run").read("cells")["track"]) == {"default"}
    assert execute(tmp_path / "run", cells("sgd")).computed == 1


def test_an_error_of_ours_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect outside the optimizer: nothing is stored, and the same command goes on."""
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "_make_outcome", lambda *_: {}["a defect of ours"])
        with pytest.raises(RunStopped, match="a defect of ours"):
            execute(tmp_path / "run", cells("sgd"))
    assert RunFolder(tmp_path / "run").read("cells").empty
    assert execute(tmp_path / "run", cells("sgd")).errors == []


class ReadsFile(SGD):
    """Of ours, for the registry: it fails where the machine does."""

    name = "reads-file"

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        raise FileNotFoundError(2, "No such file", "weights")


def test_a_file_that_our_own_code_misses_is_no_row() -> None:
    with pytest.raises(RunStopped, match="weights"):
        jobs.run_job(
            jobs.evaluate,
            Quadratic(horizon=2),
            [ReadsFile()],
            lambda part=None: None,
            {"seeds": [0], "lr": None, "options": {}},
        )


@pytest.mark.parametrize(
    "reason", ["UnicodeEncodeError: 'ascii' codec can't", "BrokenPipeError: [Errno 32]", "OSError: x"]
)
def test_what_an_earlier_version_stored_so_is_computed_again(tmp_path: Path, reason: str) -> None:
    execute(tmp_path / "run", cells("sgd", "adam"))
    (path,) = (tmp_path / "run" / "cells").glob("*--sgd--tuned--*")
    table = pq.read_table(path, partitioning=None)
    frame = table.to_pandas().assign(status="error", reason=reason, loss=None, final_loss=None)
    damaged = pd.DataFrame(frame)
    pq.write_table(type(table).from_pandas(damaged, schema=table.schema), path)
    outcome = execute(tmp_path / "run", cells("sgd", "adam"))
    assert (outcome.computed, outcome.already_computed, outcome.errors) == (1, 3, [])
    assert set(RunFolder(tmp_path / "run").read("cells")["status"]) == {"ok"}
