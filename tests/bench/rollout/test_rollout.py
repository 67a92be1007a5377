"""The rollout: a seed's trajectory is its own, whatever runs beside it and however long it goes on."""

import pytest
import torch

from l2obench.bench.rollout.loop import mark_divergence, rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.nag import NAG
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Task
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

TASKS = [Quadratic(horizon=30), MnistMlp(units=5, batch=16, horizon=30)]
SEEDS = list(range(100, 120))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("at_once", [1, 7])
def test_a_seed_does_not_depend_on_what_ran_beside_it(task: Task, at_once: int) -> None:
    together = rollout(task, Adam(lr=0.01), SEEDS)
    apart = [rollout(task, Adam(lr=0.01), SEEDS[k : k + at_once]).losses for k in range(0, len(SEEDS), at_once)]
    torch.testing.assert_close(torch.cat(apart), together.losses, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_setting_does_not_depend_on_the_others(task: Task) -> None:
    rates = torch.tensor([[0.001, 0.01, 0.03]])
    together = rollout(task, NAG().stacked({"lr": rates}), SEEDS[:2], settings=3)
    for k in range(3):
        alone = rollout(task, NAG(lr=float(rates[0, k])), SEEDS[:2])
        torch.testing.assert_close(together.losses[:, k], alone.losses[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_longer_horizon_begins_with_the_shorter(task: Task) -> None:
    longer = rollout(task.model_copy(update={"horizon": 120}), SGD(lr=0.01), SEEDS[:2])
    torch.testing.assert_close(longer.losses[..., :31], rollout(task, SGD(lr=0.01), SEEDS[:2]).losses, rtol=0, atol=0)


def test_the_same_twice_exactly() -> None:
    first, second = (rollout(TASKS[1], Adam(lr=0.01), SEEDS) for _ in range(2))
    assert torch.equal(first.losses, second.losses)
    assert torch.equal(first.heldout["loss"], second.heldout["loss"])


def test_losses_are_those_along_the_trajectory() -> None:
    """f(θ_0) … f(θ_T) of gradient descent on one quadratic, by hand in float64."""
    task = Quadratic(dim=3, horizon=4)
    result = rollout(task, SGD(lr=0.02), [9], dtype=torch.float64)
    problem = task.sample(torch.Generator().manual_seed(9))
    w, y, theta = (value.double() for value in (problem.data["w"], problem.data["y"], problem.params["theta"]))
    expected = []
    for _ in range(5):
        residual = w @ theta - y
        expected.append(residual.square().sum())
        theta = theta - 0.02 * 2 * w.T @ residual
    torch.testing.assert_close(result.losses[0, 0], torch.stack(expected))


def test_divergence_is_marked_and_stays_with_its_replica() -> None:
    rates = torch.tensor([[0.001, 1e3, 0.002]])
    result = rollout(Quadratic(horizon=50), SGD().stacked({"lr": rates}), SEEDS, settings=3)
    assert (result.diverged_at[:, 1] > 0).all()
    assert (result.diverged_at[:, [0, 2]] == -1).all()
    assert result.losses[:, [0, 2]].isfinite().all()
    for seed, step in enumerate(result.diverged_at[:, 1].tolist()):
        assert result.losses[seed, 1, step:].isinf().all()
        assert result.losses[seed, 1, :step].isfinite().all()
    calm = rollout(Quadratic(horizon=50), SGD(lr=0.001), SEEDS)
    torch.testing.assert_close(result.losses[:, 0], calm.losses[:, 0], rtol=1e-4, atol=1e-5)


def test_what_counts_as_divergence() -> None:
    losses = torch.tensor(
        [[1.0, 2.0, 1.9e6, 1.0], [1.0, 2.1e6, 1.0, 1.0], [1.0, 0.5, float("nan"), 1.0], [1.0, -3e6, 0, 0]]
    )
    marked, step = mark_divergence(losses)
    assert step.tolist() == [-1, 1, 2, 1]
    assert marked[2].tolist() == [1.0, 0.5, float("inf"), float("inf")]


def test_carry_is_one_step_further() -> None:
    problems = Problems(TASKS[0], SEEDS[:2])
    with torch.no_grad():
        first = start(problems, SGD(lr=0.01), settings=2)
        second = advance(problems, SGD(lr=0.01), first)
    assert (first.step, second.step) == (0, 1)
    torch.testing.assert_close(second.params["theta"], first.params["theta"] - 0.01 * first.grads["theta"])


def test_seeds_are_fixed_for_good() -> None:
    """These numbers are part of every published result: they may never change."""
    assert derive_seed("evaluation", "quadratic", 0) == 608267052422237690
    assert derive_seed("tuning", "mnist-mlp[units=40]", 7) == 2418493319193359325
