"""A Dask cluster that loses a worker every five seconds, or its scheduler: nothing finished is lost."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import distributed
import pandas as pd
import pytest

from bench.executors.base import ExecutorError
from bench.executors.dask import DaskExecutor
from bench.runner import Runner
from bench.store import Run
from bench.suite import Cell, make_suite
from tests.faults.processes import assert_same

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("KILL_EVERY", "5"))
KILLS = 12


def cells(count: int, horizon: int) -> list[Cell]:
    tasks = [{"task": f"quadratic[dim={dim},horizon={horizon}]"} for dim in range(2, 2 + count)]
    return make_suite("test", {"seeds": 50, "tracks": ["default"], "optimizers": ["adam"], "tasks": tasks}).cells()


def test_a_worker_killed_every_five_seconds(tmp_path: Path) -> None:
    planned = cells(40, 2000)
    Runner(Run(tmp_path / "undisturbed"), planned).execute({"suite": "test"})
    kills, over = 0, threading.Event()
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:

        def kill() -> None:
            """One after the other, of those that are at work: one that is just being made again is no victim."""
            nonlocal kills
            for turn in itertools.count():
                if over.wait(SECONDS) or kills == KILLS:
                    return
                at_work = [
                    nanny for nanny in cluster.workers.values() if nanny.worker_address in cluster.scheduler.workers
                ]
                if at_work:
                    os.kill(at_work[turn % len(at_work)].process.pid, signal.SIGKILL)
                    kills += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            outcome = Runner(Run(tmp_path / "it"), planned, executor=DaskExecutor(cluster.scheduler_address)).execute(
                {"suite": "test"}
            )
        finally:
            over.set()
            killer.join()
    print(f"{kills} workers killed, one every {SECONDS:g} s; {len(planned)} cells, {len(outcome.errors)} given up")
    assert outcome.errors == []
    assert kills > 0
    assert_same(tmp_path / "undisturbed", tmp_path / "it")


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A scheduler and a worker as one starts them by hand, in a folder of their own."""
    away = tmp_path / "away"
    away.mkdir()
    file = tmp_path / "scheduler.json"
    scheduler = [
        "dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    worker = [
        "dask_worker",
        "--scheduler-file",
        str(file),
        "--nthreads",
        "1",
        "--no-dashboard",
        "--death-timeout",
        "20",
    ]
    started = []
    for name, *options in (scheduler, worker):
        shared = ["--scheduler-file", str(file), "--no-dashboard"]
        command = [sys.executable, "-m", f"distributed.cli.{name}", *options, *shared]
        started.append(subprocess.Popen(command, cwd=away, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        while not file.exists():
            time.sleep(0.1)
    yield started
    for process in started:
        process.terminate()
        process.wait()


def test_a_scheduler_that_goes_away(tmp_path: Path, members: list[subprocess.Popen[bytes]]) -> None:
    planned, address = cells(6, 200), str(tmp_path / "scheduler.json")

    def lose(line: str) -> None:
        if "mean final loss" in line:
            members[0].kill()

    runner = Runner(Run(tmp_path / "it"), planned, executor=DaskExecutor(address), report=lose)
    with pytest.raises(ExecutorError, match="went away; what is finished is kept") as raised:
        runner.execute({"suite": "test"})
    assert raised.value.exit_code == 3
    finished = len(list((tmp_path / "it" / "cells").glob("*.parquet")))
    assert 1 <= finished < len(planned)
    outcome = Runner(Run(tmp_path / "it"), planned).execute({"suite": "test"})
    assert (outcome.found, outcome.computed) == (finished, len(planned) - finished)
    assert set(pd.read_parquet(tmp_path / "it" / "cells")["status"]) == {"ok"}
