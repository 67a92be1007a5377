"""The matrix, seeds × learning rates in one rollout, against a loop of torch.optim and against JAX."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.memory import default_budget
from l2obench.optimizers.designed.adam import Adam
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic
from tests.benchmarks.floor import Work
from tests.benchmarks.peers import installed
from tests.benchmarks.peers.torch_loop import torch_loop

RATES = [0.001 * 1.5**k for k in range(10)]
LOOP, JAX, JAX_EAGER = "torch.optim loop", "JAX + optax, jit", "JAX + optax, no jit"
ADAM_BYTES = 4 * 7  # a coordinate's m, v, θ read and written, its gradient read
TOLERANCE = {"rtol": 2e-3, "atol": 2e-3}


def race_matrix(
    race: Callable[..., Any],
    path: str,
    task: Task,
    seeds: int,
    bars: dict[str, tuple[str, str]],
    flops: float,
    rates: list[float] = RATES,
    compile: bool = False,
    full: bool = True,
    rounds: int | None = None,
) -> None:
    """`flops` are those of one gradient of one replica."""
    if not full:
        task, seeds, rates = task.model_copy(update={"horizon": 3}), 2, rates[:2]
    stacked = Adam().stacked({"lr": torch.tensor([rates])})
    numbers = list(range(seeds))
    peers: dict[str, Any] = {}
    for name in bars:
        if name == LOOP:
            peers[name] = lambda: torch_loop(task, numbers, rates)
        elif installed("jax", "optax"):
            from tests.benchmarks.peers.jax_matrix import jax_matrix

            peers[name] = jax_matrix(task, numbers, rates, jit=name == JAX)
        else:
            peers[name] = None
    # Free memory is looked up once, as for a whole run.
    options = RunOptions(compile=compile, memory=default_budget("cpu"))
    replica_steps = seeds * len(rates) * (task.horizon + 1)
    coordinates = sum(value.numel() for value in task.sample(torch.Generator()).params.values())
    results = race(
        f"{path}, {seeds * len(rates)} × {task.horizon} steps, {'compiled' if compile else 'eager'}",
        lambda: rollout(task, stacked, numbers, len(rates), evaluate=False, options=options).losses,
        peers,
        bars,
        Work(flops=replica_steps * flops, bytes=replica_steps * coordinates * ADAM_BYTES),
        rounds=rounds,
    )
    ours = results.pop("ours")
    for losses in results.values():
        torch.testing.assert_close(ours, losses, **TOLERANCE)


def perceptron_flops(task: MnistMlp) -> float:
    """Forward and weight gradient of the first layer; both, and the hidden layer's gradient, of the second."""
    return 2 * task.batch * (2 * 784 * task.units + 3 * 10 * task.units)


def convolution_flops(task: CifarCnn) -> float:
    """As for the perceptron: no gradient with respect to the images."""
    first, second, third = ((32 // 2**k) ** 2 * 9 * task.channels for k in range(3))
    dense = 32 * (16 * task.channels + 10)
    return 2 * task.batch * (2 * 3 * first + 3 * task.channels * (second + third) + 3 * dense)


def test_quadratics(race: Callable[..., Any], full: bool) -> None:
    race_matrix(race, "quadratics", Quadratic(), 10, {LOOP: ("≥ 100", "200")}, flops=400, full=full)


def test_perceptrons(race: Callable[..., Any], full: bool) -> None:
    task = MnistMlp()
    bars = {LOOP: ("≥ 5", ""), JAX: ("", "above 1")}
    race_matrix(race, "MNIST MLP", task, 5, bars, perceptron_flops(task), full=full, rounds=7)


@pytest.mark.slow
def test_quadratics_compiled(race: Callable[..., Any], full: bool) -> None:
    race_matrix(race, "quadratics", Quadratic(), 10, {JAX: ("≥ 0.65", "above 1")}, flops=400, compile=True, full=full)


@pytest.mark.slow
def test_perceptrons_compiled(race: Callable[..., Any], full: bool) -> None:
    task = MnistMlp()
    bars = {JAX: ("≥ 1", "")}
    race_matrix(race, "MNIST MLP", task, 5, bars, perceptron_flops(task), compile=True, full=full, rounds=11)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["lstm[checkpoint=quadratic]", "general-rnnprop"])
def test_learned_rules_compiled(race: Callable[..., Any], full: bool, rule: str) -> None:
    task = Quadratic(horizon=100 if full else 10)
    learned, seeds = optimizer_registry().create(rule), list(range(20 if full else 2))

    def ours(compile: bool) -> torch.Tensor:
        return rollout(task, learned, seeds, evaluate=False, options=RunOptions(compile=compile)).losses

    path = f"quadratics, {learned.name}, {len(seeds)} × {task.horizon} steps, compiled"
    results = race(path, lambda: ours(True), {"ours, eager": lambda: ours(False)})
    started = [result[..., :10] for result in results.values()]  # later, rounding has grown
    torch.testing.assert_close(*started, **TOLERANCE)


def test_convolutions(race: Callable[..., Any], full: bool) -> None:
    task = CifarCnn(horizon=20) if full else CifarCnn(channels=3, batch=16)
    bars = {LOOP: ("≥ 1.4", "2")}
    race_matrix(race, "CNN", task, 8, bars, convolution_flops(task), rates=[0.001], full=full, rounds=2)


@pytest.mark.slow
def test_convolutions_compiled(race: Callable[..., Any], full: bool) -> None:
    task = CifarCnn(horizon=20) if full else CifarCnn(channels=3, batch=16)
    bars = {LOOP: ("", "2")}
    race_matrix(race, "CNN", task, 8, bars, convolution_flops(task), rates=[0.001], compile=True, full=full, rounds=2)
