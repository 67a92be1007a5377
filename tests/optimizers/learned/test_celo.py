"""Celo, Celo-Adam and Celo2 against numpy, for thirty steps on tensors of every kind, and the traps on the way."""

from typing import Any

import numpy as np
import pytest
import torch

from l2obench.bench.measure.timing import time_steps
from l2obench.optimizers.learned.celo import Celo
from l2obench.optimizers.learned.celo2 import Celo2, Celo2Base
from l2obench.optimizers.learned.celo_adam import CeloAdam
from l2obench.optimizers.published.conversion import SOURCES
from l2obench.tasks.quadratic import Quadratic
from tests.optimizers.learned import celo_reference as reference
from tests.optimizers.learned.formula_steps import DOUBLE, HORIZON, Arrays, Step, assert_is_formula, numbers, trained


def test_celo_is_its_authors_formula() -> None:
    rule = trained(Celo(hidden=6))

    def begin(params: Arrays) -> Step:
        schedule = reference.Schedule(numbers(rule), HORIZON)
        memory = {name: reference.remember(value.shape) for name, value in params.items()}

        def step(_: int, params: Arrays, grads: Arrays, loss: float) -> Arrays:
            rho = schedule.factor(loss)
            return {
                name: reference.celo_step(numbers(rule), theta, grads[name], memory[name], rho)
                for name, theta in params.items()
            }

        return step

    assert_is_formula(rule, begin)


def test_celo_adam_is_its_authors_formula() -> None:
    rule = trained(CeloAdam(hidden=6))

    def begin(params: Arrays) -> Step:
        schedule = reference.Schedule(numbers(rule), HORIZON)
        moments = {name: reference.Moments(0 * value, 0 * value) for name, value in params.items()}

        def step(_: int, params: Arrays, grads: Arrays, loss: float) -> Arrays:
            rate = schedule.factor(loss) * 0.001
            clipped = {name: np.clip(grad, -1000, 1000) for name, grad in grads.items()}
            denominator = lambda v: np.sqrt(v + 1e-10) + 1e-8  # noqa: E731
            return {name: -rate * moments[name].direction(clipped[name], 0.9, 0.999, denominator) for name in params}

        return step

    assert_is_formula(rule, begin)


@pytest.mark.parametrize("base", [False, True])
def test_celo2_is_its_authors_formula(base: bool) -> None:
    """Vectors and embeddings by Adam at twenty times the rate, but in Celo2-base, where all is learned."""
    rule = trained(Celo2Base(lr=0.02, weight_decay=0.1) if base else Celo2(lr=0.02, weight_decay=0.1))
    assert_is_formula(rule, lambda params: reference.celo2_steps(numbers(rule), params, base=base))


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
