"""Strangers' code that raises, lies, hangs or dies: rows with a reason, and everybody else's numbers as they were."""

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

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import make_suite
from l2obench.bench.failures import Failure
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.run.worker import Worker
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.page.build import write_report

OPTIMIZERS = '''
"""Rules with defects."""
import os, signal, sys, time
import torch
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.sgd import SGD


class Fine(SGD):
    pass


class Raises(SGD):
    def update_tensor(self, grad, state, param):
        raise ZeroDivisionError("a mistake")


class Mute(SGD):
    """Raises what cannot be shown."""

    def update_tensor(self, grad, state, param):
        class Unspeakable(Exception):
            def __str__(self):
                raise RuntimeError
        raise Unspeakable


class NotANumber(SGD):
    def update_tensor(self, grad, state, param):
        return grad * float("nan"), state


class Broadcasts(SGD):
    """One update for all coordinates: adding it would work."""

    def update_tensor(self, grad, state, param):
        return -0.01 * grad.mean(-1, keepdim=True), state


class Doubles(SGD):
    def update_tensor(self, grad, state, param):
        return -0.01 * grad.double(), state


class ShrinksLater(SGD):
    def init_tensor(self, param):
        return {"step": 0}

    def update_tensor(self, grad, state, param):
        step = state["step"] + 1
        return -0.01 * (grad if step < 4 else grad[..., :1]), {"step": step}


class Renames(Optimizer):
    lr: float = 0.1

    def init(self, params):
        return {}

    def update(self, grads, state, params):
        return {"step": -0.1 * grads["theta"]}, state


class Exchanges(Optimizer):
    lr: float = 0.1

    def init(self, params):
        return {}

    def update(self, grads, state, params):
        params["theta"] = params["theta"] / 2
        return {"theta": -0.1 * grads["theta"]}, state


class MutatesGradient(SGD):
    def update_tensor(self, grad, state, param):
        return grad.mul_(-0.01), state


class MutatesParameter(SGD):
    def update_tensor(self, grad, state, param):
        param.data.sub_(0.01 * grad)
        return torch.zeros_like(grad), state


class Momentum(SGD):
    """Hands out a tensor of its state, where parameters would come to stand."""

    def init_tensor(self, param):
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(self, grad, state, param):
        velocity = 0.9 * state["velocity"] - 0.01 * grad
        return velocity, {"velocity": velocity}


class Frozen(SGD):
    """One tensor of zeros for all steps."""

    def update_tensor(self, grad, state, param):
        global ZEROS
        ZEROS = globals().get("ZEROS", torch.zeros_like(grad))
        return ZEROS, state


class OneForAll(SGD):
    """An expanded number: no memory of its own, which adding does not need."""

    def update_tensor(self, grad, state, param):
        return torch.full((), -0.001).expand_as(grad), state


class Hangs(SGD):
    def update_tensor(self, grad, state, param):
        time.sleep(3600)


class HangsInTheEnd(SGD):
    """Hangs where it is asked for its memory, which the timing pass does not."""

    def state_bytes(self, state):
        while True:
            pass


class Exits(SGD):
    def update_tensor(self, grad, state, param):
        os._exit(7)


class Leaves(SGD):
    def update_tensor(self, grad, state, param):
        sys.exit("enough")


class Segfaults(SGD):
    def update_tensor(self, grad, state, param):
        os.kill(os.getpid(), signal.SIGSEGV)
'''

TASKS = '''
"""Tasks with defects."""
import time
import torch
from l2obench.tasks.base import Problem
from l2obench.tasks.quadratic import Quadratic


class Fine(Quadratic):
    pass


class Raises(Quadratic):
    def sample(self, generator):
        raise LookupError("nothing to draw")


class NotANumber(Quadratic):
    def loss_and_grad(self, params, batch):
        losses, grads = super().loss_and_grad(params, batch)
        return losses * float("nan"), grads


class OneLoss(Quadratic):
    """The mean over replicas in place of a loss for each."""

    def loss_and_grad(self, params, batch):
        losses, grads = super().loss_and_grad(params, batch)
        return losses.mean(), grads


class Mutates(Quadratic):
    def loss_and_grad(self, params, batch):
        params["theta"].zero_()
        return super().loss_and_grad(params, batch)


class NoData(Quadratic):
    def require_data(self):
        raise PermissionError("not for you")


class Unwritable(Quadratic):
    def sources(self):
        return {"data": object()}


class Hangs(Quadratic):
    def loss_and_grad(self, params, batch):
        time.sleep(3600)
'''

PROMPT = 3.0  # seconds; a step of these plugins takes less than a millisecond


@pytest.fixture(autouse=True)
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that can be imported by dotted path, here and in worker processes."""
    (tmp_path / "bad_rules.py").write_text(OPTIMIZERS)
    (tmp_path / "bad_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("bad_rules", "bad_tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def execute(
    folder: Path, tasks: list[str], optimizers: list[str], tracks: tuple[str, ...] = ("default",), **options: object
) -> tuple[Outcome, pd.DataFrame]:
    suite = {
        "seeds": 3,
        "tuning_seeds": 2,
        "tracks": list(tracks),
        "optimizers": optimizers,
        "tasks": [{"task": name} for name in tasks],
    }
    outcome = Runner(RunFolder(folder), make_suite("test", suite).cells(), RunOptions(**options)).execute(
        {"suite": "test"}
    )  # type: ignore[arg-type]
    return outcome, pd.read_parquet(folder / "cells")


REASONS = {
    "Raises": ("error", "ZeroDivisionError: a mistake"),
    "Mute": ("error", "Unspeakable: its message cannot be shown"),
    "NotANumber": ("diverged", "the loss was not finite"),
    "Broadcasts": ("error", "update returned 'theta' with shape (3, 1, 1), expected (3, 1, 10)"),
    "Doubles": ("error", "update returned 'theta' as torch.float64, expected torch.float32"),
    "ShrinksLater": ("error", "update returned 'theta' with shape (3, 1, 1), expected (3, 1, 10)"),
    "Renames": ("error", "update returned 'step', expected 'theta'"),
    "Exchanges": ("error", "update changed params['theta']"),
    "MutatesGradient": ("error", "update changed grads['theta']"),
    "MutatesParameter": ("error", "update changed params['theta']"),
    "Momentum": ("error", "update returned 'theta' in memory that is kept elsewhere, expected a new tensor"),
    "Frozen": ("error", "update returned 'theta' in memory that is kept elsewhere, expected a new tensor"),
    "Exits": ("error", "its process ended itself with exit code 7"),
    "Leaves": ("error", "SystemExit: enough"),
    "Segfaults": ("error", "its process was ended by signal SIGSEGV"),
}


FINE = ("bad_rules.Fine", "bad_rules.OneForAll")


@pytest.mark.usefixtures("forks")
def test_every_defect_of_an_optimizer_is_a_row_with_a_reason(tmp_path: Path) -> None:
    names = [f"bad_rules.{name}" for name in REASONS]
    outcome, frame = execute(tmp_path / "run", ["quadratic[horizon=6]"], ["sgd", *names, *FINE])
    assert outcome.computed == len(names) + 1 + len(FINE)
    assert len(frame) == 3 * outcome.computed
    for name, (status, reason) in REASONS.items():
        rows = frame[frame["optimizer"] == f"bad_rules.{name}"]
        assert set(rows["status"]) == {status}, name
        assert all(reason in found for found in rows["reason"]), (name, set(rows["reason"]))
    fine, odd, ours = (frame[frame["optimizer"] == name] for name in (*FINE, "sgd"))
    assert set(fine["status"]) == set(odd["status"]) == set(ours["status"]) == {"ok"}
    np.testing.assert_array_equal(np.stack(list(fine["loss"])), np.stack(list(ours["loss"])))
    # Cells have no times that were taken under load, and tests run side by side; the timing pass keeps them all.
    timing = pd.read_parquet(tmp_path / "run" / "timing").set_index("optimizer")
    assert (timing.loc[[FINE[0], "sgd"], "update_seconds"] > 0).all()
    assert "exit code 7" in timing.loc["bad_rules.Exits", "reason"]
    assert len(outcome.errors) == len(REASONS) - 1  # a divergence is no unexpected failure


@pytest.mark.usefixtures("forks")
def test_every_defect_of_a_task_is_a_row_with_a_reason(tmp_path: Path) -> None:
    expected = {
        "Raises": ("error", "LookupError: nothing to draw"),
        "NotANumber": ("diverged", "the loss was not finite"),
        "OneLoss": ("error", "loss_and_grad returned the losses with shape (), expected (3, 1)"),
        "Mutates": ("error", "loss_and_grad changed params['theta']"),
        "NoData": ("error", "PermissionError: not for you"),
        "Unwritable": ("error", "TypeError: Object of type object is not JSON serializable"),
    }
    tasks = [f"bad_tasks.{name}[horizon=6]" for name in expected]
    _, frame = execute(tmp_path / "run", [*tasks, "bad_tasks.Fine[horizon=6]"], ["sgd"])
    for name, (status, reason) in expected.items():
        rows = frame[frame["task"] == f"bad_tasks.{name}[horizon=6]"]
        assert set(rows["status"]) == {status}
        assert all(reason in found for found in rows["reason"]), (name, set(rows["reason"]))
    assert set(frame.loc[frame["task"] == "bad_tasks.Fine[horizon=6]", "status"]) == {"ok"}


@pytest.mark.usefixtures("forks")
@pytest.mark.slow
def test_a_hang_is_a_timeout_in_both_tracks(tmp_path: Path) -> None:
    """In the timing pass, in tuning and at the very end of a rollout."""
    outcome, frame = execute(
        tmp_path / "run",
        ["quadratic[horizon=5]"],
        ["bad_rules.Hangs", "bad_rules.HangsInTheEnd", "sgd"],
        ("default", "tuned"),
        timeout=PROMPT,
    )
    status = frame.groupby(["optimizer", "track"])["status"].agg(set).to_dict()
    for track in ("default", "tuned"):
        assert status["bad_rules.Hangs", track] == status["bad_rules.HangsInTheEnd", track] == {"timeout"}
        assert status["sgd", track] == {"ok"}
    lost = frame[frame["status"] == "timeout"]
    assert set(lost["reason"]) == {"no step was finished within 3 s; its process was killed"}
    assert lost["loss"].isna().all()
    assert lost["final_loss"].isna().all()
    assert len(outcome.errors) == 4
    assert pd.read_parquet(tmp_path / "run" / "timing").set_index("optimizer").loc["sgd", "update_seconds"] > 0
    write_report([tmp_path / "run"], tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "timeout" in page
    assert "no step was finished within 3 s" in page


@pytest.mark.usefixtures("forks")
def test_a_task_that_hangs_costs_its_own_cells_only(tmp_path: Path) -> None:
    tasks = ["bad_tasks.Hangs[horizon=5]", "quadratic[horizon=5]"]
    _, frame = execute(tmp_path / "run", tasks, ["sgd"], timeout=PROMPT)
    assert frame.groupby("task")["status"].agg(set).to_dict() == {tasks[0]: {"timeout"}, tasks[1]: {"ok"}}


def test_numbers_are_the_same_in_a_process_apart(tmp_path: Path) -> None:
    tasks = ["quadratic[horizon=8]", "mnist-mlp[batch=8,horizon=5,units=4]"]
    optimizers = ["adam", "lstm[checkpoint=quadratic]"]
    _, here = execute(tmp_path / "here", tasks, optimizers, ("default", "tuned"))
    _, apart = execute(tmp_path / "apart", tasks, optimizers, ("default", "tuned"), timeout=60.0)
    times = ["grad_seconds", "update_seconds"]
    pd.testing.assert_frame_equal(here.drop(columns=times), apart.drop(columns=times), check_exact=True)
    tuning = [pd.read_parquet(tmp_path / name / "tuning") for name in ("here", "apart")]
    pd.testing.assert_frame_equal(*tuning, check_exact=True)


def test_ours_need_no_process_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "run_job", None)
    _, frame = execute(tmp_path / "run", ["quadratic[horizon=3]"], ["sgd"])
    assert set(frame["status"]) == {"ok"}


def test_a_worker_is_made_once_and_again_after_a_kill() -> None:
    with Worker(timeout=60.0) as worker:
        arguments = {"seeds": [0], "lr": None, "options": {}}
        first = worker.run_job("evaluate", "quadratic[horizon=3]", ["sgd"], arguments)
        process = worker._process
        assert worker.run_job("evaluate", "quadratic[horizon=3]", ["sgd"], arguments) == first
        assert worker._process is process
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(Failure, match="signal SIGKILL"):
            worker.run_job("evaluate", "quadratic[horizon=3]", ["sgd"], arguments)
        assert worker.run_job("evaluate", "quadratic[horizon=3]", ["sgd"], arguments) == first
    assert worker._process is None


def test_an_interrupted_job_is_not_taken_for_the_next() -> None:
    class Interrupted(ValueError):
        pass

    def interrupt(part: str) -> None:
        raise Interrupted

    with Worker(timeout=60.0) as worker:
        with pytest.raises(Interrupted):
            worker.run_job(
                "tune", "quadratic[horizon=3]", ["sgd"], {"count": 1, "halving": False, "options": {}}, interrupt
            )
        (row,) = worker.run_job("evaluate", "quadratic[horizon=3]", ["sgd"], {"seeds": [0], "lr": None, "options": {}})
        assert row["status"] == "ok"


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    """The worker hangs in a plugin when its parent is killed without a chance to clean up."""
    (tmp_path / "hanging.py").write_text(
        "import os, pathlib, time\n"
        "from l2obench.optimizers.designed.sgd import SGD\n"
        "class Hangs(SGD):\n"
        "    def update_tensor(self, grad, state, param):\n"
        "        part = pathlib.Path('pid.part')\n"
        "        part.write_text(str(os.getpid()))\n"
        "        part.rename('pid')\n"
        "        time.sleep(3600)\n"
    )
    command = [sys.executable, "-m", "l2obench", "run", "-t", "quadratic", "-o", "hanging.Hangs", "--seeds", "1"]
    process = subprocess.Popen([*command, "--out", "it"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "pid").exists)
    worker = int((tmp_path / "pid").read_text())
    process.kill()
    process.wait()

    def gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{worker}/status")
        return status.exists() and "State:\tZ" in status.read_text()

    wait_until(gone)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("def Rule(:", "SyntaxError"),
        ("import nowhere_at_all", "nowhere_at_all"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(source)
    command = [sys.executable, "-m", "l2obench", "run", "-t", "quadratic", "-o", "broken.Rule", "--out", "it"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
