"""Held-out metrics along a rollout: where they are taken, and that the training does not notice."""

import itertools
import random
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.failures import ContractBroken, Failure
from l2obench.bench.rollout.heldout import HeldOutCurve, evaluation_steps
from l2obench.bench.rollout.loop import Trajectories, rollout
from l2obench.foundation.global_settings import seeded
from l2obench.optimizers.base import State
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.module import make_module_task


@given(st.integers(1, 10_000), st.integers(1, 1000))
def test_steps_begin_at_the_start_end_at_the_last_and_are_evenly_spaced(horizon: int, points: int) -> None:
    steps = evaluation_steps(horizon, points)
    assert (steps[0], steps[-1]) == (0, horizon)
    assert len(steps) == min(points, horizon) + 1
    gaps = {later - earlier for earlier, later in itertools.pairwise(steps)}
    assert max(gaps) - min(gaps) <= 1


def test_without_points_only_the_last_step_is_evaluated() -> None:
    result = run("mnist-mlp[batch=8,horizon=7,units=4]", "adam", points=0)
    assert result.heldout_steps == [7]
    assert torch.equal(result.heldout["loss"], result.heldout_curves["loss"][..., -1])


def run(task: str | Task, optimizer: str | SGD, points: int, **options: Any) -> Trajectories:
    made = task_registry().create(task) if isinstance(task, str) else task
    rule = optimizer_registry().create(optimizer) if isinstance(optimizer, str) else optimizer
    with seeded("the same generators"):
        return rollout(made, rule.for_groups(made.groups), [3, 5], heldout_points=points, prove=True, **options)


class Noisy(SGD):
    """Draws from the global generators, as a plugin may."""

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, state = super().update(grads, state, params)
        noise = 1e-3 * (random.random() + float(np.random.rand())) * torch.rand(1)  # noqa: NPY002
        return {name: value + noise for name, value in updates.items()}, state


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))


def squared_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (model(batch[0]) - batch[1]).square().mean()


def noisy_metrics(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    model.train()  # an author's slip: nothing puts it back
    return {"loss": squared_error(model, batch) + torch.rand(()) + random.random()}


X = torch.linspace(-1, 1, 96).view(32, 3)
MODULE = make_module_task(
    "noisy", model=net, data=(X, X.sum(1, True)), loss=squared_error, heldout=(X, X.sum(1, True)),
    metrics=noisy_metrics, batch=8, horizon=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "optimizer"),
    [
        ("mnist-mlp[batch=8,horizon=12,units=4]", "lstm[checkpoint=quadratic]"),
        ("mnist-mlp[batch=8,horizon=12,units=4]", "schedule-free"),
        ("char-transformer[horizon=3]", "adam"),
        ("quadratic[horizon=12]", "adam"),
        (MODULE, "adam"),
        (MODULE, Noisy(lr=0.01)),
        ("mnist-mlp[batch=8,horizon=12,units=4]", Noisy(lr=0.01)),
    ],
    ids=str,
)
def test_the_training_does_not_notice(task: str | Task, optimizer: str | SGD) -> None:
    without, often = run(task, optimizer, points=0), run(task, optimizer, points=6)
    assert torch.equal(without.losses, often.losses)
    assert without.function_hashes == often.function_hashes
    assert without.heldout.keys() == often.heldout.keys()
    assert all(torch.equal(without.heldout[name], often.heldout[name]) for name in often.heldout)


def test_each_point_is_what_a_run_to_that_step_ends_with() -> None:
    whole = run("mnist-mlp[batch=8,horizon=12,units=4]", "adam", points=4)
    assert whole.heldout_steps == [0, 3, 6, 9, 12]
    for place, step in enumerate(whole.heldout_steps[1:], start=1):
        short = run(f"mnist-mlp[batch=8,horizon={step},units=4]", "adam", points=0)
        assert torch.equal(short.heldout["loss"], whole.heldout_curves["loss"][..., place])


def test_seeds_that_run_one_after_the_other_have_the_same_curves() -> None:
    together = run("mnist-mlp[batch=8,horizon=12,units=4]", "adam", points=3)
    apart = run("mnist-mlp[batch=8,horizon=12,units=4]", "adam", points=3, options=RunOptions(memory=1.0))
    assert apart.heldout_steps == together.heldout_steps
    torch.testing.assert_close(apart.heldout_curves, together.heldout_curves)


class Careless(Task):
    """A parabola whose evaluation does what the test says."""

    name = "careless"
    what: str = ""

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem(params={"x": torch.full((3,), 3.0)})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return params["x"].square().sum()

    def evaluate(self, params: Tensors) -> Tensors:
        loss = params["x"].square().sum(-1)
        if self.what == "writes":
            params["x"].mul_(0.5)
        if self.what == "other names" and float(loss.max()) < 1:
            return {"other": loss}
        return {"loss": loss}


@pytest.mark.parametrize(
    ("what", "message"), [("writes", "evaluate"), ("other names", "evaluate must give the same metrics every time")]
)
def test_an_evaluation_that_breaks_the_contract_is_refused(what: str, message: str) -> None:
    with pytest.raises((ContractBroken, Failure), match=message):
        rollout(Careless(horizon=50, what=what), SGD(lr=0.1), [1], heldout_points=10)


def test_where_several_steps_are_one_program_metrics_are_taken_at_its_end() -> None:
    curve = HeldOutCurve(Careless(), SGD(lr=0.1), [0, 5, 12, 20])
    for step in (0, 8, 16, 18, 19, 20):
        carry = SimpleNamespace(step=step, params={"x": torch.ones(1, 1, 3)}, buffers={}, state={})
        curve.take(cast(Any, carry))
    assert curve.steps == [0, 8, 16, 20]
