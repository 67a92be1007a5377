"""Kills of Dask workers in the middle of a run: no cell is given up, and the rows are those of an undisturbed run."""

import os
import shutil
import signal
import threading
from pathlib import Path

from tests.faults.campaign.in_turn import same_rows
from tests.faults.campaign.journal import Try

CELLS = 16
HORIZON = 1500
SECONDS_BETWEEN = 4.0
# A cell whose worker ended eight times is given up, as it may be what ends them; fewer kills give up none.
MOST_IN_A_RUN = 6


def kill_workers(folder: Path, count: int) -> list[Try]:
    """Run cells on a cluster of two workers, of which one after the other is killed.

    Args:
        folder: for the runs.
        count: kills, over as many runs as they need.
    """
    from l2obench.bench.config.suite import make_suite
    from l2obench.bench.run.runner import Runner
    from l2obench.bench.store.run_folder import RunFolder

    shutil.rmtree(folder, ignore_errors=True)
    tasks = [{"task": f"quadratic[dim={dim},horizon={HORIZON}]"} for dim in range(2, 2 + CELLS)]
    suite = make_suite("it", {"seeds": 20, "tracks": ["default"], "optimizers": ["adam"], "tasks": tasks})
    cells = suite.cells()
    Runner(RunFolder(folder / "undisturbed"), cells).execute({"suite": "it"})
    made: list[Try] = []
    while len(made) < count:
        out = folder / f"it-{len(made)}"
        kills, errors = _run_and_kill(out, cells, min(MOST_IN_A_RUN, count - len(made)))
        harm = errors[0] if errors else None if same_rows(folder / "undisturbed", out) else "other numbers"
        numbers = range(len(made), len(made) + kills)
        made += [Try("cluster", number, "the run went on with the same numbers", harm) for number in numbers]
    return made


def _run_and_kill(out: Path, cells: list, most: int) -> tuple[int, list[str]]:  # type: ignore[type-arg]
    """Run the cells once: the number of kills, and cells that were given up."""
    import distributed

    from l2obench.bench.run.executors.dask import DaskExecutor
    from l2obench.bench.run.runner import Runner
    from l2obench.bench.store.run_folder import RunFolder

    kills, over = 0, threading.Event()
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:

        def kill() -> None:
            """One after the other, of those that are at work."""
            nonlocal kills
            while kills < most and not over.wait(SECONDS_BETWEEN):
                at_work = [
                    nanny for nanny in cluster.workers.values() if nanny.worker_address in cluster.scheduler.workers
                ]
                if at_work:
                    os.kill(at_work[kills % len(at_work)].process.pid, signal.SIGKILL)
                    kills += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            executor = DaskExecutor(cluster.scheduler_address)
            outcome = Runner(RunFolder(out), cells, executor=executor).execute({"suite": "it"})
        finally:
            over.set()
            killer.join()
    return kills, outcome.errors
