"""`--compile`: the same numbers up to rounding, and strangers' code left as it stands."""

from pathlib import Path
from typing import Never

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import make_suite
from l2obench.bench.rollout.compiled import MOST_STEPS_WITH_MINIBATCHES, Program
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.base import Optimizer, power
from l2obench.optimizers.bridged.torch_optim import bridge
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.cell import BLOCK
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

slow = pytest.mark.slow  # a program takes up to a minute to make


def test_short_steps_are_looped_over_and_long_ones_are_not() -> None:
    theta = {"theta": torch.zeros(10, 10, 10)}
    steps = [Program(Quadratic(horizon=horizon), Adam(), theta).steps for horizon in (1, 4, 35, 97, 100, 201)]
    assert steps == [1, 4, 35, 95, 100, 100]  # what is left, of 97 and 201, is taken step by step
    drawn = Program(MnistMlp(units=1, horizon=100), Adam(), {"w0": torch.zeros(10, 1, 1, 784)})
    assert drawn.steps == MOST_STEPS_WITH_MINIBATCHES
    large = Program(MnistMlp(), Adam(), {"w0": torch.zeros(1, 1, 20, 784)})
    own = Program(CifarCnn(), Adam(), {"fc0.bias": torch.zeros(1, 1, 32)})
    assert (large.steps, own.steps) == (1, 1)


@pytest.mark.parametrize("beta", [0.0, 0.9, torch.tensor([[0.5, 0.999]])])
def test_powers_of_counts_are_the_same_for_tensors_and_numbers(beta: float | torch.Tensor) -> None:
    steps = torch.tensor(7.0, dtype=torch.float64)
    expected = torch.as_tensor(beta, dtype=torch.float64) ** 7
    torch.testing.assert_close(power(beta, steps), expected)
    torch.testing.assert_close(torch.as_tensor(power(beta, 7), dtype=torch.float64), expected)


@pytest.mark.parametrize(
    ("rule", "coordinates", "steps"),
    [
        (optimizer_registry().create("lstm[checkpoint=quadratic]"), BLOCK, 100),
        (optimizer_registry().create("lstm[checkpoint=quadratic]"), BLOCK + 1, 1),
        (optimizer_registry().create("general-rnnprop"), BLOCK + 1, 1),
        (bridge("torch.optim.Rprop", torch.optim.Rprop)(), 1, 1),
    ],
)
def test_rules_that_are_faster_as_they_stand_are_not_compiled(rule: Optimizer, coordinates: int, steps: int) -> None:
    program = Program(Quadratic(), rule, {"theta": torch.zeros(1, 1, coordinates)})
    assert program.steps == steps


@slow
@pytest.mark.parametrize(
    "rule",
    ["sgd", "adam", "cosine[rule=adamw]", "lstm[checkpoint=quadratic]", "general-rnnprop", "mlp[checkpoint=random]"],
)
def test_short_steps_of_a_rule_are_one_program(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(*_: object) -> Never:
        raise AssertionError("steps were taken one by one")

    monkeypatch.setattr("l2obench.bench.rollout.compiled.compiled_step", lambda: alone)
    rollout(Quadratic(horizon=20), optimizer_registry().create(rule), [3, 4], options=RunOptions(compile=True))


@slow
@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (Quadratic(horizon=35), Adam(lr=0.01)),
        (Quadratic(horizon=35), optimizer_registry().create("lstm[checkpoint=quadratic]")),
        (Quadratic(horizon=35), optimizer_registry().create("general-rnnprop")),
        (Quadratic(horizon=12), optimizer_registry().create("general")),
        (Quadratic(dim=40, horizon=10), optimizer_registry().create("momentum[lr=0.001]")),
        (Quadratic(horizon=35), optimizer_registry().create("cosine[rule=nag,lr=0.01]")),
        (MnistMlp(units=5, batch=16, horizon=35), Adam(lr=0.01)),
        (MnistMlp(units=5, batch=16, horizon=15), optimizer_registry().create("lstm[checkpoint=mnist]")),
        (CifarCnn(channels=3, batch=8, horizon=6), Adam(lr=0.001)),
    ],
    ids=lambda value: str(getattr(value, "name", "")),
)
def test_losses_are_those_of_plain_steps(task: Task, rule: Optimizer) -> None:
    seeds = [3, 4]
    rates = torch.tensor([[0.001, 0.002, 0.003]]) if not rule.meta_parameters else torch.tensor([[1.0, 0.9, 0.8]])
    stacked = rule.stacked({"lr": rates})
    plain, compiled = (
        rollout(task, stacked, seeds, settings=3, dtype=torch.float64, options=RunOptions(compile=compile))
        for compile in (False, True)
    )
    torch.testing.assert_close(compiled.losses, plain.losses)
    assert compiled.state_bytes == plain.state_bytes
    for name, value in plain.heldout.items():
        torch.testing.assert_close(compiled.heldout[name], value, msg=name)


@slow
def test_rules_that_torch_cannot_follow_run_step_by_step() -> None:
    rule = bridge("torch.optim.Rprop", torch.optim.Rprop)()
    plain, compiled = (
        rollout(Quadratic(horizon=5), rule, [3, 4], dtype=torch.float64, options=RunOptions(compile=compile))
        for compile in (False, True)
    )
    torch.testing.assert_close(compiled.losses, plain.losses)


@slow
def test_compiled_cells_are_not_taken_for_plain_ones(tmp_path: Path) -> None:
    plan = make_suite("small", {"optimizers": ["sgd", "torch.optim.Rprop"], "tasks": [{"task": "quadratic"}]})
    cells = plan.narrow(None, None, 2).cells()
    assert not Runner(RunFolder(tmp_path), cells, RunOptions(compile=True)).execute({}).errors
    assert Runner(RunFolder(tmp_path), cells, RunOptions(compile=True)).execute({}).computed == 0
    with pytest.raises(StoreError, match="compiled was True, now None"):
        Runner(RunFolder(tmp_path), cells).execute({})
