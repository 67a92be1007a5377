"""The exact meta-gradient: against finite differences, against the first-order one, and as a recipe."""

from pathlib import Path

import pytest
import torch

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, advance, start
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

DOUBLE = torch.float64
SEEDS = [1, 2, 3]
WEIGHTS = torch.linspace(0.5, 2, 6, dtype=DOUBLE)
RULE = LSTM(hidden=4, preprocessing="none", output_scale=1)
TASKS = {"quadratic": Quadratic(dim=4), "perceptron": MnistMlp(units=3, batch=4)}


def learner(seed: int = 1) -> LSTM:
    random = RULE.initialised(torch.Generator().manual_seed(seed)).meta_parameters
    return RULE.with_meta_parameters({name: value.to(DOUBLE) for name, value in random.items()})


def begun(task: Task, rule: LSTM) -> tuple[Problems, Carry]:
    problems = Problems(task, SEEDS, dtype=DOUBLE)
    with torch.no_grad():
        return problems, start(problems, rule)


def objective(task: Task, rule: LSTM) -> float:
    """The mean over functions of Σ w_t f(θ_t), by the plain rollout."""
    problems, carry = begun(task, rule)
    total = 0.0
    with torch.no_grad():
        for weight in WEIGHTS:
            carry = advance(problems, rule, carry)
            total += float(weight * carry.losses.mean())
    return total


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_is_the_derivative_of_the_objective_in_a_random_direction(task: Task) -> None:
    rule = learner()
    problems, carry = begun(task, rule)
    grads = second_order_bptt(problems, rule, carry, WEIGHTS).meta_grads
    random = torch.Generator().manual_seed(5)
    direction = {name: torch.randn(value.shape, generator=random, dtype=DOUBLE) for name, value in grads.items()}
    slope = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    step = 1e-5
    ends = [
        objective(
            task,
            rule.with_meta_parameters(
                {name: value + sign * step * direction[name] for name, value in rule.meta_parameters.items()}
            ),
        )
        for sign in (1, -1)
    ]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_one_step_has_no_second_order_and_several_have() -> None:
    task, rule = TASKS["quadratic"], learner()
    for steps, equal in ((1, True), (3, False)):
        both = [method(*_at(task, rule), WEIGHTS[:steps]) for method in (second_order_bptt, _first_order)]
        assert torch.equal(both[0].losses, both[1].losses) or torch.allclose(both[0].losses, both[1].losses)
        for name in rule.meta_parameters:
            close = torch.allclose(both[0].meta_grads[name], both[1].meta_grads[name], rtol=1e-8, atol=1e-12)
            assert close is equal, name


def _at(task: Task, rule: LSTM) -> tuple[Problems, LSTM, Carry]:
    problems, carry = begun(task, rule)
    return problems, rule, carry


def _first_order(problems: Problems, rule: LSTM, carry: Carry, weights: torch.Tensor):  # type: ignore[no-untyped-def]
    return truncated_bptt(problems, rule, carry, weights)


def test_it_goes_on_where_the_plain_rollout_would() -> None:
    task, rule = TASKS["quadratic"], learner()
    problems, carry = begun(task, rule)
    segment = second_order_bptt(problems, rule, carry, WEIGHTS)
    problems, plain = begun(task, rule)
    with torch.no_grad():
        for _ in WEIGHTS:
            plain = advance(problems, rule, plain)
    torch.testing.assert_close(segment.carry.params["theta"], plain.params["theta"])
    assert segment.carry.step == plain.step == len(WEIGHTS)
    assert not segment.carry.params["theta"].requires_grad
    assert not segment.carry.state["theta"]["hidden"].requires_grad


SMALL = {
    "task": "quadratic[dim=3,horizon=20]",
    "optimizer": "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "second_order": True,
    "functions": 8,
    "unroll": 20,
    "trajectories": 30,
    "validate_every": 15,
    "validation_functions": 16,
    "lr": 0.01,
}


def test_a_recipe_trains_by_it(tmp_path: Path) -> None:
    session = Session(tmp_path, make_recipe(SMALL))
    before = session.trainer.validate(session.progress.phi)
    assert session.run().best_validation < 0.5 * before


def test_a_sample_of_coordinates_is_refused() -> None:
    with pytest.raises(RecipeError, match="coordinates must be left out with second_order"):
        Trainer(make_recipe(SMALL | {"coordinates": 2}))
