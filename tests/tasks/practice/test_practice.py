"""The problems of `practice` are what their pages say, and half of their kinds stay unseen by learned optimizers."""

import copy
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import task_registry
from l2obench.bench.config.shipped import read_shipped, recipe_names
from l2obench.bench.config.suite import load_suite
from l2obench.bench.contract.task_requirements import require_of_task
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from l2obench.tasks import FAMILIES
from l2obench.tasks.data.held_out import HeldOut
from l2obench.tasks.modules.batching import FEW, LARGE
from l2obench.tasks.modules.randomness import NoiseBySeed, seed_everything
from l2obench.tasks.practice import KEPT_ASIDE, OPEN
from l2obench.tasks.practice.base import Practice
from l2obench.tasks.practice.burgers import VISCOSITY, Solution, exact_solution

NAMES = [*OPEN, *KEPT_ASIDE]
STEPS = 3
SMALLEST, LARGEST = 20_000, 1_000_000


def task_of(name: str, **changes: Any) -> Practice:
    task: Practice = task_registry().create(name).model_copy(update={"horizon": STEPS, **changes})
    return task


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_problem_states_its_size(name: str) -> None:
    task = task_of(name)
    count = sum(value.numel() for value in task.sample(torch.Generator()).params.values())
    assert SMALLEST <= count <= LARGEST
    (stated,) = re.findall(r"([\d,]+) parameters", type(task).__doc__ or "")
    assert int(stated.replace(",", "")) == count


def plain_loop(task: Practice, seed: int, lr: float) -> tuple[Tensor, nn.Module]:
    """What everyone writes; the random numbers of a step are those that belong to it."""
    problem = task.sample(torch.Generator().manual_seed(seed))
    model = copy.deepcopy(task.make_model())
    model.load_state_dict({**problem.params, **problem.buffers}, strict=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for step, (batch, noise) in enumerate(minibatches(task, seed)):
        optimizer.zero_grad()
        seed_everything(int(noise))
        with NoiseBySeed(noise):
            loss = task.batch_loss(model, batch)
        losses.append(loss.item())
        if step < STEPS:
            loss.backward()
            optimizer.step()
    return torch.tensor(losses), model


def minibatches(task: Practice, seed: int) -> Iterator[tuple[Any, Tensor]]:
    problems = Problems(task, [seed])
    for _ in range(STEPS + 1):
        batch = {name: value[0] for name, value in problems.minibatch().items()}
        structure = task._workshop().training.structure
        assert structure is not None
        yield structure.nested(batch), batch["noise"]


@pytest.mark.parametrize("name", NAMES)
def test_a_replica_of_the_batch_is_a_plain_loop(name: str) -> None:
    """One after the other and, where many run together, together."""
    task = task_of(name, batch=4)
    losses, model = plain_loop(task, 3, 1e-3)
    many = [3, *range(100, 99 + FEW)]
    for seeds in ([3], many):
        found = rollout(task, Adam(lr=1e-3), seeds)
        torch.testing.assert_close(found.losses[0, 0], losses, rtol=1e-4, atol=1e-5)
    model.eval()
    seed_everything(0)
    with torch.no_grad():
        held_out = task.heldout_data()
        first = held_out[:1000] if isinstance(held_out, Tensor) else tuple(part[:1000] for part in held_out)
        expected = task.heldout_metrics(model, first)
    for metric, value in expected.items():
        size = len(held_out if isinstance(held_out, Tensor) else held_out[0])
        tolerance = 1e-3 if size <= 1000 else 0.2  # more are taken in pieces
        torch.testing.assert_close(found.heldout[metric][0, 0], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_is_learned(name: str) -> None:
    task = task_registry().create(name).model_copy(update={"horizon": 30})
    losses = rollout(task, Adam(lr=3e-3), [0]).losses[0, 0]
    assert losses[-5:].mean() < 0.97 * losses[0]


def test_every_problem_is_open_or_kept_aside() -> None:
    found = {name for name in FAMILIES if name.startswith("practice-")}
    assert found == {*NAMES}
    assert len(found) == len(NAMES)
    assert len(KEPT_ASIDE) >= 6
    assert len(OPEN) >= 6


@pytest.mark.parametrize("name", KEPT_ASIDE)
def test_no_training_takes_what_is_kept_aside(name: str) -> None:
    with pytest.raises(HeldOut, match=f"{name} is kept aside"):
        Trainer(Recipe(optimizer="lstm", task="quadratic", mixture=["quadratic", name]))
    with pytest.raises(HeldOut):
        Trainer(Recipe(optimizer="lstm", task=name))


@pytest.mark.parametrize("name", recipe_names())
def test_no_recipe_names_what_is_kept_aside(name: str) -> None:
    text = read_shipped("recipes", name)
    assert not [kept for kept in KEPT_ASIDE if kept in text]


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_no_checkpoint_has_seen_what_is_kept_aside(name: str) -> None:
    text = str(read_checkpoint(name).recipe)
    assert not [kept for kept in KEPT_ASIDE if kept in text]


def test_the_suite_has_every_problem_at_three_horizons() -> None:
    cells = load_suite("practice").cells()
    found = {(cell.task.name, cell.task.horizon) for cell in cells}
    assert found == {(name, horizon) for name in NAMES for horizon in (100, 500, 2000)}
    assert min(cell.seeds for cell in cells) >= 10


def test_derivatives_of_the_network_are_those_of_autograd() -> None:
    model = Solution(units=8, layers=2).double()
    t, x = (torch.rand(5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = model(t, x)
    first_t, first_x = torch.autograd.grad(found.value.sum(), (t, x), create_graph=True)
    (second,) = torch.autograd.grad(first_x.sum(), x)
    torch.testing.assert_close((found.t, found.x, found.xx), (first_t, first_x, second))


@pytest.mark.parametrize(("t", "x"), [(0.3, 0.4), (0.7, -0.2), (0.5, 0.9)])
def test_the_exact_solution_solves_the_equation(t: float, x: float) -> None:
    h = 0.01

    def u(t: float, x: float) -> float:
        return float(exact_solution(torch.tensor([[t, x]], dtype=torch.float64)))

    in_time, in_space = (u(t + h, x) - u(t - h, x)) / (2 * h), (u(t, x + h) - u(t, x - h)) / (2 * h)
    twice = (u(t, x + h) - 2 * u(t, x) + u(t, x - h)) / h**2
    assert abs(in_time + u(t, x) * in_space - VISCOSITY * twice) < 0.02 * abs(in_time)
    assert abs(u(1e-9, x) + math.sin(math.pi * x)) < 1e-5
    assert abs(u(t, 1.0)) < 1e-6


def test_replicas_of_an_lstm_run_one_by_one() -> None:
    """PyTorch has them in one fused operation, and together they take three times as long."""
    found = task_of("practice-char-lstm")._workshop().batching()
    assert found.refused is None
    assert found.flops > LARGE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("requirement", ["replicas run together", "loss is a pure scalar"])
def test_a_problem_meets_what_is_asked_of_plugins(name: str, requirement: str) -> None:
    assert require_of_task(task_of(name, batch=4), requirement) is None
