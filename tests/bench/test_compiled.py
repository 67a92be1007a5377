"""`--compile`: the same numbers up to rounding, and strangers' code left as it stands."""

from pathlib import Path

import pytest
import torch

from bench.compiled import UNROLLED, Program
from bench.registry import optimizer_registry
from bench.rollout import rollout
from bench.runner import Runner
from bench.store import Run, StoreError
from bench.suite import make_suite
from optimizers.adam import Adam
from optimizers.base import Optimizer
from tasks.base import Task
from tasks.cifar import CifarCnn
from tasks.mnist import MnistMlp
from tasks.quadratic import Quadratic

slow = pytest.mark.slow  # a program takes up to a minute to make


def test_short_steps_are_unrolled_and_long_ones_are_not() -> None:
    small = Program(Quadratic(), Adam(), {"theta": torch.zeros(10, 10, 10)})
    large = Program(MnistMlp(), Adam(), {"w0": torch.zeros(10, 10, 20, 784)})
    own = Program(CifarCnn(), Adam(), {"fc0.bias": torch.zeros(1, 1, 32)})
    assert (small.steps, large.steps, own.steps) == (UNROLLED, 1, 1)


@slow
@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (Quadratic(horizon=35), Adam(lr=0.01)),
        (MnistMlp(units=5, batch=16, horizon=35), Adam(lr=0.01)),
        (MnistMlp(units=5, batch=16, horizon=15), optimizer_registry().create("lstm[checkpoint=mnist]")),
        (CifarCnn(channels=3, batch=8, horizon=6), Adam(lr=0.001)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_losses_are_those_of_plain_steps(task: Task, rule: Optimizer) -> None:
    seeds = [3, 4]
    rates = torch.tensor([[0.001, 0.002, 0.003]]) if rule.name == "adam" else torch.tensor([[1.0, 0.9, 0.8]])
    stacked = rule.stacked({"lr": rates})
    plain, compiled = (
        rollout(task, stacked, seeds, settings=3, dtype=torch.float64, compile=compile) for compile in (False, True)
    )
    torch.testing.assert_close(compiled.losses, plain.losses)
    assert compiled.state_bytes == plain.state_bytes
    for name, value in plain.heldout.items():
        torch.testing.assert_close(compiled.heldout[name], value, msg=name)


@slow
def test_compiled_cells_are_not_taken_for_plain_ones(tmp_path: Path) -> None:
    plan = make_suite("small", {"optimizers": ["sgd", "torch.optim.Rprop"], "tasks": [{"task": "quadratic"}]})
    cells = plan.narrowed(None, None, 2).cells()
    assert not Runner(Run(tmp_path), cells, compile=True).execute({}).errors
    assert Runner(Run(tmp_path), cells, compile=True).execute({}).computed == 0
    with pytest.raises(StoreError, match="compiled was True, now None"):
        Runner(Run(tmp_path), cells).execute({})
