"""Tuning: the best rate by mean final loss, a grid that grows, divergence never chosen."""

import math

import pytest
import torch

from l2obench.bench.measure.tuning import tune
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.optimizers.base import State
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.quadratic import Quadratic


class Bowl(Task):
    """f(θ) = a θ²: gradient descent from 1 is best at lr = 1 / (2a), whatever the seed."""

    name = "bowl"
    curvature: float = 1.0

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem({"theta": torch.ones(1)}, {"a": torch.tensor([self.curvature])})

    def loss(self, params: Tensors, batch: Tensors) -> torch.Tensor:
        return (batch["a"] * params["theta"].square()).sum()


def test_the_chosen_rate_has_the_lowest_mean_and_is_what_the_rollout_gives() -> None:
    task = Quadratic(horizon=20)
    result = tune(task, Adam(), 4)
    means = dict.fromkeys({row["lr"] for row in result.rows}, 0.0)
    for row in result.rows:
        means[row["lr"]] += row["final_loss"] / 4
    assert result.lr == min(means, key=lambda lr: means[lr])
    assert {row["lr"] for row in result.rows if row["chosen"]} == {result.lr}
    seeds = [derive_seed("tuning", "quadratic", k) for k in range(4)]
    again = rollout(task, Adam(lr=result.lr), seeds).losses[..., -1].mean()
    assert means[result.lr] == pytest.approx(float(again), rel=1e-3)
    assert result.passes == len(result.rows) * 20


@pytest.mark.parametrize(("curvature", "best"), [(5e-4, 1e3), (5e5, 1e-6)])
def test_the_grid_grows_at_an_edge(curvature: float, best: float) -> None:
    result = tune(Bowl(curvature=curvature, horizon=3), SGD(), 1)
    assert result.lr == pytest.approx(best)
    assert not result.at_edge


def test_half_steps_around_the_best_point_are_tried() -> None:
    result = tune(Bowl(curvature=0.5 / 0.1334, horizon=3), SGD(), 1)
    assert result.lr == pytest.approx(0.1334, rel=1e-3)
    rates = sorted({row["lr"] for row in result.rows})
    assert [round(rate / 0.1, 3) for rate in rates if 0.09 < rate < 0.2] == [1.0, 1.334, 1.778]
    assert len(rates) == 23


def test_an_edge_that_cannot_be_passed_is_said() -> None:
    result = tune(Bowl(curvature=1e-12, horizon=2), SGD(), 1)
    assert result.at_edge
    assert all(row["at_edge"] for row in result.rows)


def test_a_rate_that_diverges_once_is_not_chosen() -> None:
    result = tune(Quadratic(horizon=60), SGD(), 6)
    chosen = [row for row in result.rows if row["chosen"]]
    assert all(row["status"] == "ok" for row in chosen)
    diverged = [row for row in result.rows if row["status"] == "diverged"]
    assert diverged
    assert all(math.isinf(row["final_loss"]) and row["failed_step"] > 0 for row in diverged)


class Broken(SGD):
    """Always infinite."""

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        return grad * math.inf, state


def test_where_everything_diverges_the_smallest_rate_stands() -> None:
    result = tune(Quadratic(horizon=3), Broken(), 2)
    assert result.at_edge
    assert all(row["status"] == "diverged" for row in result.rows)


def test_halving_finds_what_the_whole_grid_finds_at_less_cost() -> None:
    task = Quadratic(horizon=90)
    whole, halved = tune(task, Adam(), 8), tune(task, Adam(), 8, halving=True)
    assert halved.lr == whole.lr
    assert halved.passes == sum(row["steps"] for row in halved.rows) < 0.6 * whole.passes
    assert {row["steps"] for row in halved.rows} == {10, 30, 90}
    assert all(row["steps"] == 90 for row in halved.rows if row["chosen"])


@pytest.mark.parametrize(("curvature", "best"), [(5e-4, 1e3), (5e5, 1e-6)])
def test_halving_walks_beyond_the_grid(curvature: float, best: float) -> None:
    result = tune(Bowl(curvature=curvature, horizon=9), SGD(), 1, halving=True)
    assert result.lr == pytest.approx(best)
    assert not result.at_edge
