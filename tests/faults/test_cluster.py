"""A Dask cluster that loses a worker every five seconds: no cell is lost, none is given up, none is wrong."""

import itertools
import os
import signal
import threading
from pathlib import Path

import distributed
import pytest

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
