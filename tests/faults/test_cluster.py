"""A Dask cluster that loses a worker every five seconds, and one that loses its scheduler: no cell is lost or wrong."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import distributed
import pytest

from l2obench.bench.config.suite import Cell, make_suite
from l2obench.bench.run.executors.base import ExecutorError
from l2obench.bench.run.executors.dask import DaskExecutor
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from tests.processes import assert_same

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("KILL_EVERY", "5"))
KILLS = 12


def cells(count: int, horizon: int) -> list[Cell]:
    tasks = [{"task": f"quadratic[dim={dim},horizon={horizon}]"} for dim in range(2, 2 + count)]
    return make_suite("test", {"seeds": 50, "tracks": ["default"], "optimizers": ["adam"], "tasks": tasks}).cells()


def test_a_worker_killed_every_five_seconds(tmp_path: Path) -> None:
    planned = cells(40, 2000)
    Runner(RunFolder(tmp_path / "undisturbed"), planned).execute({"suite": "test"})
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
            outcome = Runner(
                RunFolder(tmp_path / "it"), planned, executor=DaskExecutor(cluster.scheduler_address)
            ).execute({"suite": "test"})
        finally:
            over.set()
            killer.join()
    print(f"{kills} workers killed, one every {SECONDS:g} s; {len(planned)} cells, {len(outcome.errors)} given up")
    assert outcome.errors == []
    assert kills > 0
    assert_same(tmp_path / "undisturbed", tmp_path / "it")


@contextmanager
def separate_cluster(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and two workers, a process each: the scheduler's, and the path of its scheduler file."""
    address = folder / "scheduler.json"
    address.unlink(missing_ok=True)
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(address)]
    processes = [subprocess.Popen([*start, "--port", "0", "--no-dashboard"], stderr=subprocess.DEVNULL)]
    start = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address)]
    start += ["--nthreads", "1", "--no-dashboard", "--no-nanny"]
    processes += [subprocess.Popen(start, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        with distributed.Client(scheduler_file=str(address), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield processes[0], str(address)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_killed_in_the_middle_of_a_run(tmp_path: Path) -> None:
    planned = cells(12, 1000)
    Runner(RunFolder(tmp_path / "undisturbed"), planned).execute({"suite": "test"})
    run = RunFolder(tmp_path / "it")
    with separate_cluster(tmp_path) as (scheduler, address):

        def kill() -> None:
            while len(list((tmp_path / "it").glob("cells/*.parquet"))) < 3:
                time.sleep(0.05)
            scheduler.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(ExecutorError, match="went away: finished cells are kept") as gone:
            Runner(run, planned, executor=DaskExecutor(address)).execute({"suite": "test"})
        killer.join()
    assert gone.value.exit_code == 3
    finished = {path: path.read_bytes() for path in (tmp_path / "it").glob("cells/*.parquet")}
    assert 3 <= len(finished) < len(planned)
    with separate_cluster(tmp_path) as (_, address):
        outcome = Runner(run, planned, executor=DaskExecutor(address)).execute({"suite": "test"})
    assert outcome.errors == []
    assert {path: path.read_bytes() for path in finished} == finished
    assert_same(tmp_path / "undisturbed", tmp_path / "it")
