"""One truncation of meta-training, 20 steps and the meta-gradient, against a kept graph and against JAX."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, start
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task, Tensors
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic
from tests.benchmarks.floor import Work
from tests.benchmarks.peers import installed
from tests.benchmarks.peers.lstm_cell import CellRule, kept_graph

UNROLL = 20
KEPT, JAX = "PyTorch, graph kept", "JAX, scan, jit"
SIGMOIDS = 2 * 20 * 5  # a coordinate and step: two layers of 20 units, four gates and tanh of the cell


class Recorded(Problems):
    """Problems whose minibatches are given: peers see the same, and drawing them is on nobody's clock."""

    def __init__(self, task: Task, seeds: list[int], batches: list[Tensors]) -> None:
        super().__init__(task, seeds)
        self._batches = iter(batches)

    def minibatch(self) -> Tensors:
        return next(self._batches)


@pytest.mark.parametrize(
    ("path", "task", "seeds", "bars"),
    [
        ("quadratics", Quadratic(), 128, {KEPT: ("≥ 1.6", "2.5"), JAX: ("≥ 1.2", "2")}),
        ("MNIST MLP", MnistMlp(), 1, {KEPT: ("≥ 1.7", "2.2"), JAX: ("≥ 1.7", "2.2")}),
    ],
    ids=["quadratics", "perceptrons"],
)
def test_meta_gradient(
    race: Callable[..., Any], full: bool, path: str, task: Task, seeds: int, bars: dict[str, tuple[str, str]]
) -> None:
    unroll = UNROLL if full else 3
    seeds = seeds if full else 1
    rule = LSTM(output_scale=0.01).initialised(torch.Generator().manual_seed(0))
    numbers = list(range(seeds))
    problems = Problems(task, numbers)
    batches = [problems.minibatch() for _ in range(unroll + 1)]
    weights = torch.full((unroll,), 1 / unroll)
    cells = CellRule(rule)
    peers: dict[str, Any] = {KEPT: lambda *_: kept_graph(cells, task, problems.start, batches, seeds), JAX: None}
    if installed("jax"):
        from tests.benchmarks.peers.jax_meta import jax_meta_gradient

        theirs = jax_meta_gradient(rule, task, problems.start, batches, seeds)
        peers[JAX] = lambda *_: theirs()

    def prepare() -> tuple[Problems, Carry]:
        recorded = Recorded(task, numbers, batches)
        with torch.no_grad():
            return recorded, start(recorded, rule)

    coordinates = seeds * sum(value[0].numel() for value in problems.start.values())
    steps = unroll * coordinates
    flops = rule.flops_per_coordinate()
    assert flops is not None
    results = race(
        f"meta-training, {path}, unroll {unroll}, {coordinates:,} coordinates",
        lambda given, carry: truncated_bptt(given, rule, carry, weights).meta_grads,
        peers,
        bars,
        # Forward, and twice that backward; the nonlinearities' outputs serve backward as well.
        Work(flops=3 * steps * flops, sigmoids=steps * SIGMOIDS),
        prepare,
    )
    ours = results.pop("ours")
    for peer, grads in results.items():
        for name, grad in ours.items():
            torch.testing.assert_close(
                grads[name], grad, rtol=1e-3, atol=1e-5 + 1e-3 * float(grad.abs().max()), msg=peer
            )
