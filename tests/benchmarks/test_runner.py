"""What comes around the rollout: the runner, and the start of the command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2obench.bench.config.suite import Suite, load_suite
from l2obench.bench.config.suite_task import SuiteTask
from l2obench.bench.measure import timing, tuning
from l2obench.bench.run import jobs
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from tests.benchmarks.clock import cpu_seconds
from tests.benchmarks.table import Row


@pytest.fixture
def share_in_rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Suite], tuple[float, float]]:
    """Runs a suite; the processor seconds of `Runner.execute`, and the share of them that is inside.

    Inside are the rollouts of tuning and evaluation, with the functions and minibatches that they draw, their checks
    and held-out metrics, and the timing pass. Outside is the rest: data asked for and hashed, the manifest with git and
    versions, rates chosen, rows made, files written and flushed. Imports and the suite's own file come before.
    """

    def run(suite: Suite) -> tuple[float, float]:
        inside = [0.0]

        def clocked(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                began = cpu_seconds()
                result = original(*arguments, **options)
                inside[0] += cpu_seconds() - began
                return result

            return call

        for module in (jobs, tuning):
            monkeypatch.setattr(module, "rollout", clocked(module.rollout))  # type: ignore[attr-defined]
        monkeypatch.setattr(timing, "time_steps", clocked(timing.time_steps))
        runner = Runner(RunFolder(tmp_path), suite.cells())
        began = cpu_seconds()
        outcome = runner.execute({})
        seconds = cpu_seconds() - began
        assert not outcome.errors
        assert 0 < inside[0] < seconds
        return seconds, inside[0] / seconds

    return run


def test_the_runners_overhead(
    note: Callable[[Row], None], full: bool, share_in_rollouts: Callable[[Suite], tuple[float, float]]
) -> None:
    if not full:
        pytest.skip("suite quick takes minutes; the next test runs a part of it")
    note(_row("run of suite quick", *share_in_rollouts(load_suite("quick")), "≥ 0.95", "0.98"))


def test_the_runners_overhead_on_short_rollouts(
    note: Callable[[Row], None], full: bool, share_in_rollouts: Callable[[Suite], tuple[float, float]]
) -> None:
    """The harder measure: of the quadratics with 20 seeds, a cell's rollouts take 30 ms."""
    task = SuiteTask(task="quadratic" if full else "quadratic[horizon=2]")
    plan = load_suite("quick").model_copy(update={"tasks": [task]}).narrow(None, None, None if full else 2)
    note(_row("run of suite quick's rules, quadratics alone", *share_in_rollouts(plan), "", ""))


def _row(path: str, seconds: float, share: float, reach: str, aim: str) -> Row:
    return Row(path, "its rollouts", seconds, share, reach, aim, None, None)


@pytest.mark.parametrize("command", ["--help", "list"])
def test_start(race: Callable[..., Any], command: str) -> None:
    """A fresh process each; the bars are half a second and one, and importing torch is what they rule out."""

    def run(*arguments: str) -> int:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True).returncode

    race(
        f"l2obench {command}",
        lambda: run("-m", "l2obench", command),
        {"python -c 'import torch'": lambda: run("-c", "import torch")},
        {"python -c 'import torch'": (f"ours ≤ {500 if command == '--help' else 1000} ms", "")},
    )
