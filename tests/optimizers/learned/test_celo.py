"""Celo, Celo-Adam and Celo2 against numpy, for thirty steps on tensors of every kind, and the traps on the way."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from l2obench.bench.measure.timing import time_steps
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.celo import Celo
from l2obench.optimizers.learned.celo2 import Celo2, Celo2Base
from l2obench.optimizers.learned.celo_adam import CeloAdam
from l2obench.optimizers.published.conversion import SOURCES
from l2obench.tasks.quadratic import Quadratic
from tests.optimizers.learned import celo_reference as reference

DOUBLE, STEPS, HORIZON = torch.float64, 30, 40
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (),
    "vector": (7,),
    "wide": (4, 6),
    "tall": (6, 4),
    "square": (5, 5),
    "filter": (6, 4, 3, 3),
    "square_filter": (5, 5, 3, 3),
    "embedding": (8, 3),
}
"""In our layout: outputs first."""
ORDERS = {2: (1, 0), 4: (2, 3, 1, 0)}
"""From our layout to the authors'."""


def theirs(value: Tensor) -> np.ndarray:
    """A replica's tensor in the authors' layout."""
    return value.permute(ORDERS.get(value.ndim, tuple(range(value.ndim)))).numpy().copy()


def back(value: np.ndarray) -> Tensor:
    order = np.argsort(ORDERS[value.ndim]) if value.ndim in ORDERS else range(value.ndim)
    return torch.from_numpy(np.ascontiguousarray(value.transpose(*order)) if value.ndim else np.asarray(value))


def trained(rule: LearnedOptimizer) -> Any:
    """A rule with meta-parameters of a size at which every part of the formula shows."""
    made = rule.initialised(torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(4)
    phi = {
        name: value.double() + 0.2 * torch.randn(value.shape, generator=random, dtype=DOUBLE)
        for name, value in made.meta_parameters.items()
    }
    return made.with_meta_parameters(phi)


def streams() -> Iterator[tuple[Tensors, Tensor]]:
    """Gradients `[2 seeds, 1 setting, ...]` and losses of each step; one gradient is beyond the bound."""
    random = torch.Generator().manual_seed(5)
    for step in range(STEPS):
        grads = {name: torch.randn(2, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}
        if step == 4:
            grads["wide"][0, 0, 0, 0] = 3000.0
        losses = 2 * 0.9**step + 0.3 * torch.rand(2, 1, generator=random, dtype=DOUBLE)
        yield grads, losses if step != 11 else losses + 50  # which is capped


def start() -> Tensors:
    random = torch.Generator().manual_seed(6)
    params = {name: torch.randn(2, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}
    params["vector"].zero_()  # as biases are
    return params


def trajectory(rule: Optimizer) -> Iterator[Tensors]:
    params = start()
    with torch.no_grad():
        state = rule.init(params)
        for grads, losses in streams():
            updates, state = rule.update(grads, rule.observe(state, losses, HORIZON), params)
            params = {name: value + updates[name] for name, value in params.items()}
            yield params


def assert_follows(rule: Optimizer, expected: list[Tensors], tolerance: float = 1e-9) -> None:
    """Both seeds, tensor by tensor, at every step."""
    for step, params in enumerate(trajectory(rule)):
        for name, value in params.items():
            gap = (value - expected[step][name]).abs().max() / (1 + expected[step][name].abs().max())
            assert gap < tolerance, (name, step, float(gap))


def stacked(replicas: list[list[Tensors]]) -> list[Tensors]:
    """Trajectories of seeds as steps of `[seeds, 1, ...]`."""
    return [
        {name: torch.stack([seed[step][name] for seed in replicas]).unsqueeze(1) for name in SHAPES}
        for step in range(STEPS)
    ]


def numbers(rule: LearnedOptimizer) -> dict[str, Any]:
    return {name: value.numpy() for name, value in rule.meta_parameters.items()}


def test_celo_is_its_authors_formula() -> None:
    rule = trained(Celo(hidden=6))
    replicas = []
    for seed in range(2):
        schedule = reference.Schedule(numbers(rule), HORIZON)
        params = {name: theirs(value[seed, 0]) for name, value in start().items()}
        memory = {name: reference.remember(value.shape) for name, value in params.items()}
        steps = []
        for grads, losses in streams():
            rho = schedule.factor(float(losses[seed, 0]))
            for name, theta in params.items():
                move = reference.celo_step(numbers(rule), theta, theirs(grads[name][seed, 0]), memory[name], rho)
                params[name] = theta + move
            steps.append({name: back(value) for name, value in params.items()})
        replicas.append(steps)
    assert_follows(rule, stacked(replicas))


def test_celo_adam_is_its_authors_formula() -> None:
    rule = trained(CeloAdam(hidden=6))
    replicas = []
    for seed in range(2):
        schedule = reference.Schedule(numbers(rule), HORIZON)
        params = {name: value[seed, 0].numpy().copy() for name, value in start().items()}
        moments = {name: reference.Moments(0 * value, 0 * value) for name, value in params.items()}
        steps = []
        for grads, losses in streams():
            rho = schedule.factor(float(losses[seed, 0]))
            for name, theta in params.items():
                g = np.clip(grads[name][seed, 0].numpy(), -1000, 1000)
                move = moments[name].direction(g, 0.9, 0.999, lambda v: np.sqrt(v + 1e-10) + 1e-8)
                params[name] = theta - rho * 0.001 * move
            steps.append({name: torch.from_numpy(np.array(value)) for name, value in params.items()})
        replicas.append(steps)
    assert_follows(rule, stacked(replicas))


@pytest.mark.parametrize("base", [False, True])
def test_celo2_is_its_authors_formula(base: bool) -> None:
    """Vectors and embeddings by Adam at twenty times the rate, but in Celo2-base, where all is learned."""
    rule = trained(Celo2Base(lr=0.02, weight_decay=0.1) if base else Celo2(lr=0.02, weight_decay=0.1))
    replicas = []
    for seed in range(2):
        params = {name: theirs(value[seed, 0]) for name, value in start().items()}
        memory = {name: reference.remember(value.shape) for name, value in params.items()}
        moments = {name: reference.Moments(0 * value, 0 * value) for name, value in params.items()}
        steps = []
        for grads, _ in streams():
            for name, theta in params.items():
                g, rate = theirs(grads[name][seed, 0]), 0.02
                if base or (theta.ndim >= 2 and name != "embedding"):
                    move = reference.celo2_direction(numbers(rule), theta, g, memory[name], orthogonal=not base)
                else:
                    clipped = np.clip(g, -1000, 1000)
                    move, rate = moments[name].direction(clipped, 0.9, 0.95, lambda v: np.sqrt(v) + 1e-8), 0.4
                params[name] = theta - rate * (move + 0.1 * theta)
            steps.append({name: back(value) for name, value in params.items()})
        replicas.append(steps)
    assert_follows(rule, stacked(replicas))


def test_square_matrices_are_factored_as_in_training() -> None:
    """Were ties broken by torch's layout, rows and columns of square matrices would change places."""
    rule = trained(Celo(hidden=6))
    grad = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    grad[..., 0, :] *= 100  # one output with large gradients, which a mean over outputs must contain
    param = {"w": torch.ones_like(grad)}
    with torch.no_grad():
        state = rule.observe(rule.init(param), torch.ones(1, 1, dtype=DOUBLE), HORIZON)
        _, state = rule.update({"w": grad}, state, param)
    rows = state["of"]["w"]["rows"]
    assert rows.shape == (3, 1, 1, 1, 5)  # r is the mean over outputs
    torch.testing.assert_close(rows[0, 0, 0, 0], 0.1 * grad[0, 0].square().mean(0))


@pytest.mark.parametrize("name", ["celo", "celo-adam"])
def test_without_loss_and_horizon_they_say_so(name: str) -> None:
    rule = trained(Celo(hidden=3) if name == "celo" else CeloAdam(hidden=3))
    params = {"w": torch.ones(1, 1, 3, 2, dtype=DOUBLE)}
    with pytest.raises(ValueError, match=f"{name} needs the loss and the number of steps"):
        rule.update(params, rule.init(params), params)


def test_every_rule_with_published_weights_is_timed() -> None:
    """The timing pass gives loss and horizon to whoever needs them."""
    rules: list[Any] = [Celo(checkpoint="random"), CeloAdam(checkpoint="random"), Celo2(checkpoint="random")]
    assert {rule.name for rule in rules} <= SOURCES.keys()
    for row in time_steps(Quadratic(dim=3, horizon=9), rules):
        assert "reason" not in row
        assert row["update_flops"] > 0
