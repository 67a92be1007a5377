"""Meta-training on mixtures: a segment of PES and a whole trajectory for each family, and two processes beside one."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from l2obench.bench.metatrain.estimators.base import UnrollState
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.perturbed_replicas import draw_perturbations
from l2obench.bench.metatrain.estimators.pes import PES
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, start
from l2obench.optimizers.learned.fused.step import numba_is_installed
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic
from tests.benchmarks.peers import installed
from tests.benchmarks.table import Row
from tests.benchmarks.test_meta_training import Recorded

PAIRS, SIGMA = 4, 0.1
JAX = "JAX, vmap over perturbations, jit"
UNROLL, HORIZON = 20, 100
ON_PROCESSES = ["--unroll", "20", "--functions", "2", "--coordinates", "0", "--trajectories", "4", "--out", "it"]
ON_PROCESSES += ["--validate-every", "4", "--validation-functions", "2"]
TURNS = 2
LONGEST_SECONDS = 300


class Family:
    """A family of a mixture, with functions and minibatches that ours and peers share."""

    def __init__(self, task: Task, functions: int, steps: int, rule: LSTM) -> None:
        self.task, self.functions, self.rule = task, functions, rule
        problems = Problems(task, range(functions))
        self.start = problems.start
        self.batches: list[Tensors] = [problems.minibatch() for _ in range(steps + 1)]
        self.coordinates = functions * sum(value[0].numel() for value in problems.start.values())

    def recorded(self) -> Recorded:
        return Recorded(self.task, list(range(self.functions)), self.batches)

    def begun(self) -> tuple[Recorded, Carry]:
        """The functions, and the state of an ordinary rollout before its first step."""
        recorded = self.recorded()
        with torch.no_grad():
            return recorded, start(recorded, self.rule)

    def perturbed(self, estimator: PES) -> tuple[Recorded, UnrollState, torch.Generator]:
        """The functions, the state before the first segment, and what draws its perturbations."""
        recorded, random = self.recorded(), torch.Generator().manual_seed(1)
        return recorded, estimator.begin(recorded, self.rule, random), random


@pytest.fixture(scope="module")
def rule() -> LSTM:
    return LSTM(output_scale=0.01).initialised(torch.Generator().manual_seed(0))


def require_equal(results: dict[str, list[Tensors]], tolerance: float) -> None:
    ours = results.pop("ours")
    for peer, found in results.items():
        for theirs, expected in zip(found, ours, strict=True):
            for name, grad in expected.items():
                atol = tolerance * float(grad.abs().max())
                torch.testing.assert_close(theirs[name], grad, rtol=0, atol=atol, msg=f"{peer}: {name}")


@pytest.mark.parametrize("fused", [False, True], ids=["in torch", "fused"])
def test_pes_on_a_mixture(race: Callable[..., Any], full: bool, rule: LSTM, fused: bool) -> None:
    """In torch, and with the compiled step that `--fused` asks for."""
    if fused and not numba_is_installed():
        pytest.skip("fused steps need numba")
    steps = UNROLL if full else 3
    mixture = [
        Family(Quadratic(), 128 if full else 2, steps, rule),
        Family(Quadratic(dim=20), 64 if full else 2, steps, rule),
        Family(MnistMlp(units=20 if full else 2), 1, steps, rule),
    ]
    estimator, weights = PES(pairs=PAIRS, sigma=SIGMA), torch.full((steps,), 1 / steps)
    noise = draw_perturbations(rule, PAIRS, torch.Generator().manual_seed(1))
    own = rule.fused() if fused else rule
    peers: dict[str, Any] = {JAX: None}
    if installed("jax"):
        from tests.benchmarks.peers.jax_pes import jax_pes

        theirs = [jax_pes(rule, one.task, one.start, one.batches, noise, SIGMA) for one in mixture]
        peers[JAX] = lambda *_: [call() for call in theirs]

    def ours(*given: tuple[Recorded, UnrollState, torch.Generator]) -> list[Tensors]:
        return [
            estimator.advance(problems, own, state, weights, random).meta_grads for problems, state, random in given
        ]

    coordinates = 2 * PAIRS * sum(one.coordinates for one in mixture)
    estimator_name = "PES, fused" if fused else "PES"
    results = race(
        f"meta-training, {estimator_name}, mixture of 3 families, unroll {steps}, {coordinates:,} coordinates",
        ours,
        peers,
        {JAX: ("", "2")},
        prepare=lambda: tuple(one.perturbed(estimator) for one in mixture),
    )
    require_equal(results, tolerance=1e-2)  # differences of losses, divided by 2σ


def test_whole_trajectories_on_a_mixture(race: Callable[..., Any], full: bool, rule: LSTM) -> None:
    steps = HORIZON if full else 4
    sizes = [(5, 64), (10, 32), (20, 16)] if full else [(2, 1), (3, 1)]
    mixture = [Family(Quadratic(dim=dim), functions, steps, rule) for dim, functions in sizes]
    weights = torch.full((steps,), 1 / steps)
    peers: dict[str, Any] = {"JAX, scan, jit": None}
    if installed("jax"):
        from tests.benchmarks.peers.jax_meta import jax_meta_gradient

        theirs = [jax_meta_gradient(rule, one.task, one.start, one.batches, one.functions) for one in mixture]
        peers["JAX, scan, jit"] = lambda *_: [call() for call in theirs]
    coordinates = sum(one.coordinates for one in mixture)
    results = race(
        f"meta-training, whole trajectories, mixture of 3 families, unroll {steps}, {coordinates:,} coordinates",
        lambda *given: [truncated_bptt(problems, rule, carry, weights).meta_grads for problems, carry in given],
        peers,
        {"JAX, scan, jit": ("", "2")},
        prepare=lambda: tuple(one.begun() for one in mixture),
    )
    require_equal(results, tolerance=1e-2)  # rounding grows over a hundred steps


def test_two_processes_beside_one(note: Callable[[Row], None], full: bool, tmp_path: Path) -> None:
    """By the wall clock, which is what processes are for; each has one thread, and a processor of its own if it can.

    One and two take turns, so that whatever the machine does falls on both.
    """
    if not full:
        pytest.skip("tests/bench/metatrain/test_process_group.py compares the numbers")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(TURNS):
        for count, found in seconds.items():
            found += trajectory_seconds(tmp_path / f"{count}-{turn}", count)
    one, two = (statistics.median(found) for found in seconds.values())
    path = f"meta-training on two processes, MNIST MLP, unroll 20, {os.cpu_count()} processors"
    note(Row(path, "one process", two, one / two, "", "1.85", None, None))


def trajectory_seconds(folder: Path, processes: int) -> list[float]:
    """Seconds of each trajectory but the first, which begins in new memory, and the last, which validates."""
    folder.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    started = [sys.executable, *(torchrun if processes > 1 else []), "-m", "l2obench"]
    command = [*started, "train", "lstm", "-t", "mnist-mlp", *ON_PROCESSES]

    def free() -> None:
        # The benchmarks hold themselves to one processor, which their children inherit.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))

    options: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": LONGEST_SECONDS}
    done = subprocess.run(command, cwd=folder, preexec_fn=free, **options)
    assert done.returncode == 0, done.stderr
    log = pd.read_csv(folder / "it" / "log.csv")
    return [float(seconds) for seconds in log["seconds"].iloc[1:-1]]
