"""Executors: the same rows from all of them, dead workers' cells again, poison as a row, one line for what is amiss."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import distributed
import pandas as pd
import pytest

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import make_suite
from l2obench.bench.run.executors import dask, dask_worker
from l2obench.bench.run.executors.base import Executor, ExecutorError
from l2obench.bench.run.executors.dask import DaskExecutor
from l2obench.bench.run.executors.local import LocalExecutor
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[3]
CHECKPOINT = ROOT / "optimizers" / "checkpoints" / "quadratic.safetensors"
CLOCKS = ["grad_seconds", "update_seconds"]
TASKS = ["quadratic[horizon=6]", "mnist-mlp[batch=8,horizon=5,units=4]"]
OURS = ["adam", "lstm[checkpoint=mine.safetensors]"]

STRANGE = '''
"""Rules and tasks of a stranger, some with defects."""
import os, pathlib, signal, time
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic


class Fine(SGD):
    pass


class Raises(SGD):
    def update_tensor(self, grad, state, param):
        raise ZeroDivisionError("a mistake")


class Exits(SGD):
    def update_tensor(self, grad, state, param):
        os._exit(7)


class Hangs(SGD):
    def update_tensor(self, grad, state, param):
        time.sleep(3600)


class HangsInTheEnd(SGD):
    """Hangs where it is asked for its memory, which the timing pass does not."""

    def state_bytes(self, state):
        time.sleep(3600)


class Poison(Quadratic):
    """Ends every process that is asked for its data, except the one that plans the run."""

    def require_data(self):
        if os.getpid() != int(os.environ["PLANNER"]):
            os.kill(os.getpid(), signal.SIGKILL)


class Absent(Quadratic):
    """Its data are on the machine that plans the run, and nowhere else."""

    def require_data(self):
        if os.getpid() != int(os.environ["PLANNER"]):
            raise FileNotFoundError("these data are not on this machine; fetch them")
'''


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder from which modules are imported, here and in every process begun from now on."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "strange.py").write_text(STRANGE)
    sys.path.insert(0, str(folder))
    os.environ["PLANNER"] = str(os.getpid())
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("strange", None)  # imported here only if a test that ran in this process needed it
    del os.environ["PLANNER"]


@pytest.fixture(scope="module")
def cluster(elsewhere: Path) -> Iterator[distributed.LocalCluster]:
    """Two real worker processes, in another folder than the run."""
    before = os.getcwd()
    os.chdir(elsewhere)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        cluster.scheduler.allowed_failures = 1
        os.chdir(before)
        yield cluster


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CHECKPOINT, "mine.safetensors")


def execute(
    out: str,
    tasks: list[str],
    optimizers: list[str],
    executor: Executor | None = None,
    tracks: tuple[str, ...] = ("default",),
    report: Callable[[str], object] = lambda _: None,
    timeout: float | None = None,
) -> Outcome:
    suite = {
        "seeds": 3,
        "tuning_seeds": 2,
        "tracks": list(tracks),
        "optimizers": optimizers,
        "tasks": [{"task": name} for name in tasks],
    }
    cells = make_suite("test", suite).cells()
    return Runner(RunFolder(out), cells, RunOptions(timeout=timeout), executor=executor, report=report).execute(
        {"suite": "test"}
    )


def table(out: str, kind: str = "cells") -> pd.DataFrame:
    return pd.read_parquet(Path(out) / kind)


def on(cluster: distributed.LocalCluster, **options: object) -> DaskExecutor:
    files = {"mine.safetensors": CHECKPOINT.read_bytes()}
    return DaskExecutor(cluster.scheduler_address, files=files, **options)  # type: ignore[arg-type]


def test_the_same_rows_whichever_executor_ran_them(cluster: distributed.LocalCluster) -> None:
    def run(out: str, executor: Executor | None = None) -> None:
        execute(out, TASKS, OURS, executor, ("default", "tuned"))

    run("serial")
    for name, executor in (("local", LocalExecutor(2)), ("dask", on(cluster))):
        run(name, executor)
        for kind in ("cells", "tuning"):
            one, other = (table(out, kind).drop(columns=CLOCKS, errors="ignore") for out in ("serial", name))
            pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.slow
def test_strangers_code_is_kept_apart_on_a_cluster_too(cluster: distributed.LocalCluster) -> None:
    outcome = execute("it", TASKS[:1], ["sgd", "strange.Fine", "strange.Raises", "strange.Exits"], on(cluster))
    assert len(outcome.errors) == 2
    reasons = table("it").groupby("optimizer")["reason"].agg(set).to_dict()
    assert reasons["strange.Raises"] == {"ZeroDivisionError: a mistake"}
    assert reasons["strange.Exits"] == {"its process ended itself with exit code 7"}
    fine, ours = (table("it").query(f"optimizer == '{name}'") for name in ("strange.Fine", "sgd"))
    assert fine["final_loss"].tolist() == ours["final_loss"].tolist()


@pytest.mark.slow
def test_a_hang_is_a_timeout_on_a_cluster(cluster: distributed.LocalCluster) -> None:
    execute("it", TASKS[:1], ["sgd", "strange.Hangs"], on(cluster, timeout=5.0), timeout=5.0)
    status = table("it").groupby("optimizer")["status"].agg(set).to_dict()
    assert status == {"sgd": {"ok"}, "strange.Hangs": {"timeout"}}


@pytest.mark.slow
def test_cells_of_a_dead_worker_are_run_again_and_poison_is_a_row(cluster: distributed.LocalCluster) -> None:
    """The poison ends every worker that takes it; its neighbours are not blamed."""
    tasks = [TASKS[0], "strange.Poison[horizon=6]", "quadratic[dim=3,horizon=6]", "quadratic[dim=4,horizon=6]"]
    outcome = execute("it", tasks, ["sgd"], on(cluster))
    status = table("it").groupby("task")["status"].agg(set).to_dict()
    assert status == {name: {"error" if "Poison" in name else "ok"} for name in tasks}
    assert outcome.errors == ["strange.Poison[horizon=6] sgd default: its worker's process ended, 4 times"]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(cluster: distributed.LocalCluster) -> None:
    expected = execute("undisturbed", TASKS, ["sgd", "adam"])
    victims = iter([worker.process.pid for worker in cluster.workers.values()])  # type: ignore[union-attr]

    def kill(line: str) -> None:
        if "mean final loss" in line and (victim := next(victims, None)):
            os.kill(victim, signal.SIGKILL)

    assert execute("killed", TASKS, ["sgd", "adam"], on(cluster), report=kill) == expected
    pd.testing.assert_frame_equal(*(table(name).drop(columns=CLOCKS) for name in ("undisturbed", "killed")))


@pytest.mark.parametrize(
    ("task", "expected", "message"),
    [
        ("strange.Absent[horizon=5]", {}, "these data are not on this machine; fetch them"),
        ("quadratic[horizon=5]", {"torch": "0.4.1"}, r"torch is .*, expected 0\.4\.1"),
    ],
)
def test_an_unfit_worker_ends_the_run_and_is_no_row(
    cluster: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    expected: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setattr(dask_worker, "_versions", lambda: expected)
    with pytest.raises(ExecutorError, match=f"cannot run its job: .*{message}") as raised:
        execute("it", [task], ["sgd"], on(cluster))
    assert raised.value.exit_code == 2
    assert not list(Path("it/cells").iterdir())


def test_what_no_worker_offers_is_waited_for_and_said(cluster: distributed.LocalCluster) -> None:
    class Impatient(BaseException):
        pass

    def leave(line: str) -> None:
        if line.startswith("waiting"):
            assert line == "waiting: none of 2 workers is one with GPU=1"
            raise Impatient

    executor = on(cluster, resources={"GPU": 1.0}, report=leave)
    with pytest.raises(Impatient):
        execute("it", TASKS[:1], ["sgd"], executor)


def test_nothing_answers_at_the_address() -> None:
    with pytest.raises(ExecutorError, match="Try: an address such as") as raised, DaskExecutor("nowhere://1"):
        pass
    assert raised.value.exit_code == 2


@pytest.mark.slow
def test_a_process_that_is_killed_is_made_again_and_the_job_with_it() -> None:
    killed: set[int] = set()

    def kill_each_once() -> None:
        while not done.wait(0.05):
            for pid in sorted(children() - killed)[: 2 - len(killed)]:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            if len(killed) >= 2:
                return

    done = threading.Event()
    killer = threading.Thread(target=kill_each_once)
    killer.start()
    outcome = execute("it", TASKS[:1], ["sgd", "adam"], LocalExecutor(2))
    done.set()
    killer.join()
    assert len(killed) == 2
    assert outcome == Outcome(computed=2, already_computed=0, errors=[])


def children() -> set[int]:
    """Processes that this one made by multiprocessing."""
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_process(elsewhere: Path) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(line: str) -> None:
        if "sgd default" in line:
            raise Interrupted

    before = children()
    with pytest.raises(Interrupted):
        execute("it", TASKS[:1], ["strange.HangsInTheEnd", "sgd"], LocalExecutor(2), report=interrupt)
    assert children() == before
    assert len(list(Path("it/cells").glob("*.parquet"))) == 1


def close_when_at_work(cluster: Callable[[], distributed.LocalCluster | None]) -> None:
    """Close all workers of a cluster, in a thread, once it has something to do."""

    def close() -> None:
        for _ in range(1200):
            made = cluster()
            if made is not None and any(worker.processing for worker in made.scheduler.workers.values()):
                made.scale(0)
                return
            time.sleep(0.05)

    threading.Thread(target=close, daemon=True).start()


@pytest.mark.slow
def test_a_run_that_has_lost_all_workers_says_so_and_goes_on_with_new_ones(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "LOST_SECONDS", 0.5)
    said: list[str] = []
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as small:

        def answer(line: str) -> None:
            said.append(line)
            if line.endswith("has no worker left"):
                small.scale(1)

        close_when_at_work(lambda: small)
        outcome = execute("it", ["quadratic[horizon=6000]"], ["sgd"], on(small, report=answer))
    assert outcome.errors == []
    assert any(line.endswith("has no worker left") for line in said)
    assert set(table("it")["status"]) == {"ok"}


@pytest.mark.slow
def test_a_run_whose_own_workers_are_gone_ends(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "LOST_SECONDS", 0.5)
    executor = DaskExecutor(processes=1)
    close_when_at_work(lambda: executor._cluster)
    with pytest.raises(ExecutorError, match="the cluster on this machine went away") as raised:
        execute("it", ["quadratic[horizon=6000]"], ["sgd"], executor)
    assert raised.value.exit_code == 3
