"""What comes around the rollout: the runner, and the start of the command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import jobs, timing, tuning
from bench.runner import Runner
from bench.store import Run
from bench.suite import load_suite
from tests.benchmarks.clock import cpu_seconds
from tests.benchmarks.table import Row


def test_the_runners_overhead(
    note: Callable[[Row], None], full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time inside rollouts and timings over that of the whole run, in one run of suite quick's quadratics."""
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
    plan = load_suite("quick").narrowed(["quadratic" if full else "quadratic[horizon=2]"], None, None if full else 2)
    runner = Runner(Run(tmp_path), plan.cells())
    began = cpu_seconds()
    outcome = runner.execute({})
    seconds = cpu_seconds() - began
    assert not outcome.errors
    assert 0 < inside[0] < seconds
    note(
        Row(
            "run of suite quick, quadratics", "its rollouts", seconds, inside[0] / seconds, "≥ 0.95", "0.98", None, None
        )
    )


@pytest.mark.parametrize("command", ["--help", "list"])
def test_start(race: Callable[..., Any], command: str) -> None:
    """A fresh process each; the bars are half a second and one, and importing torch is what they rule out."""

    def run(*arguments: str) -> int:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True).returncode

    race(
        f"l2obench {command}",
        lambda: run("-m", "bench", command),
        {"python -c 'import torch'": lambda: run("-c", "import torch")},
        {"python -c 'import torch'": (f"ours ≤ {500 if command == '--help' else 1000} ms", "")},
    )
