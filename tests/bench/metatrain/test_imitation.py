"""A warm start by imitation: its gradient in closed form, who leads, and how it fits into a training."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, make_recipe
from l2obench.bench.config.registry import UnknownName
from l2obench.bench.metatrain.estimators.base import UnrollState
from l2obench.bench.metatrain.estimators.imitation import Imitation, relative_distance_slopes
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.bench.studies.known import Bowl, LearnedRate
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.mnist import MnistMlp

DOUBLE = torch.float64
LOG_RATE, RATE = -1.0, 0.1
RULE = LearnedRate().with_meta_parameters({"log_rate": torch.tensor(LOG_RATE, dtype=DOUBLE)})
VALUES: dict[str, Any] = {
    "task": "quadratic[dim=3,horizon=20]",
    "optimizer": "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "functions": 4,
    "unroll": 10,
    "trajectories": 40,
    "validate_every": 20,
    "validation_functions": 8,
    "lr": 0.01,
    "teacher": "sgd[lr=0.1]",
    "imitation": 40,
}


def run_segment(estimator: Imitation, seed: int = 0, steps: int = 6) -> tuple[UnrollState, Tensor, Tensor]:
    problems, random = Problems(Bowl(), [1, 2, 3], dtype=DOUBLE), torch.Generator().manual_seed(seed)
    unroll_state = estimator.begin(problems, RULE, random)
    estimate = estimator.advance(problems, RULE, unroll_state, torch.ones(steps, dtype=DOUBLE), random)
    return estimate.unroll_state, estimate.losses, estimate.meta_grads["log_rate"]


def test_the_gradient_is_that_of_the_distance() -> None:
    """u = −a g and v = −b g: d = (a − b)² / (a² + b²) whatever g, and dd/d log a = 2 a b (a² − b²) / (a² + b²)²."""
    a, b = math.exp(LOG_RATE), RATE
    _, _, gradient = run_segment(Imitation(teacher=SGD(lr=b)))
    assert float(gradient) == pytest.approx(2 * a * b * (a * a - b * b) / (a * a + b * b) ** 2, rel=1e-6)


def test_slopes_are_those_of_the_mean_distance() -> None:
    """By autograd, over replicas and tensors of several shapes, one of which neither moves."""
    random = torch.Generator().manual_seed(0)
    shapes = {"w": (2, 3, 4, 5), "b": (2, 3), "still": (2, 3, 2)}
    updates, wanted = (
        {name: torch.randn(shape, generator=random, dtype=DOUBLE) for name, shape in shapes.items()} for _ in range(2)
    )
    updates["still"], wanted["still"] = (torch.zeros(2, 3, 2, dtype=DOUBLE) for _ in range(2))
    for value in updates.values():
        value.requires_grad_()
    distances = [
        (updates[name] - wanted[name]).square().reshape(2, 3, -1).sum(-1)
        / (updates[name].square() + wanted[name].square()).reshape(2, 3, -1).sum(-1).clamp_min(1e-30)
        for name in shapes
    ]
    torch.stack(distances).mean().backward()
    slopes = relative_distance_slopes({name: value.detach() for name, value in updates.items()}, wanted)
    for name, value in updates.items():
        torch.testing.assert_close(slopes[name], value.grad)


@pytest.mark.parametrize("coordinates", [None, 10**6])
@pytest.mark.parametrize(("seed", "learner_leads"), [(0, True), (1, False)])
def test_the_gradient_is_autograds_through_the_rules_own_steps(
    seed: int, learner_leads: bool, coordinates: int | None
) -> None:
    assert bool(torch.rand((), generator=torch.Generator().manual_seed(seed)) < 0.5) == learner_leads
    rule = LSTM(hidden=4).initialised(torch.Generator().manual_seed(1))
    phi = {name: value.double().requires_grad_() for name, value in rule.meta_parameters.items()}
    rule, teacher, steps = rule.with_meta_parameters(phi), Momentum(lr=0.01), 5
    problems = Problems(MnistMlp(units=3, batch=4), [1, 2], dtype=DOUBLE)
    carry = start(problems, rule)
    params, grads, state, memory = carry.params, carry.grads, rule.init(carry.params), teacher.init(carry.params)
    total = torch.zeros((), dtype=DOUBLE)
    for _ in range(steps):
        wanted, memory = teacher.update(grads, memory, params)
        updates, state = rule.update(grads, state, params)
        for name, target in wanted.items():
            size = (updates[name].square() + target.square()).flatten(2).sum(-1)
            distance = (updates[name] - target).square().flatten(2).sum(-1) / size
            total = total + distance.mean() / (steps * len(wanted))
        applied = updates if learner_leads else wanted
        params = {name: value + applied[name].detach() for name, value in params.items()}
        _, grads, _ = problems.loss_grad_and_buffers(params, {})
    expected = dict(zip(phi, torch.autograd.grad(total, list(phi.values())), strict=True))

    estimator = Imitation(teacher=teacher, coordinates=coordinates)
    problems, random = Problems(MnistMlp(units=3, batch=4), [1, 2], dtype=DOUBLE), torch.Generator().manual_seed(seed)
    unroll_state = estimator.begin(problems, rule, random)
    found = estimator.advance(problems, rule, unroll_state, torch.ones(steps, dtype=DOUBLE), random).meta_grads
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9)


def test_both_lead_now_and_then_and_the_teacher_sees_the_gradients_met() -> None:
    teacher = Momentum(lr=RATE)
    led = set()
    for seed in range(12):
        unroll_state, losses, _ = run_segment(Imitation(teacher=teacher), seed)
        params = torch.ones(3, 1, 1, dtype=DOUBLE)
        problems = Problems(Bowl(), [1, 2, 3], dtype=DOUBLE)
        _, grads, _ = problems.loss_grad_and_buffers({"theta": params}, {})
        by: dict[str, list[Tensor]] = {"teacher": [], "learner": []}
        for who, met in by.items():
            theta, grad, state = {"theta": params}, grads, teacher.init({"theta": params})
            for _ in range(losses.shape[-1]):
                wanted, state = teacher.update(grad, state, theta)
                step = wanted["theta"] if who == "teacher" else -math.exp(LOG_RATE) * grad["theta"]
                theta = {"theta": theta["theta"] + step}
                loss, grad, _ = problems.loss_grad_and_buffers(theta, {})
                met.append(loss)
        who = min(by, key=lambda name: float((torch.stack(by[name], -1) - losses).abs().max()))
        torch.testing.assert_close(torch.stack(by[who], -1), losses)
        assert unroll_state.carry.step == losses.shape[-1]
        led.add(who)
    assert led == {"teacher", "learner"}


def test_it_learns_the_teachers_rate() -> None:
    rule = {
        "task": "l2obench.bench.studies.known.Bowl[horizon=20]",
        "optimizer": "l2obench.bench.studies.known.LearnedRate",
    }
    trainer = Trainer(make_recipe(VALUES | rule | {"lr": 0.3}))
    progress = trainer.begin()
    assert abs(float(progress.phi["log_rate"]) - math.log(RATE)) > 0.5
    for _ in range(40):
        progress = trainer.run_trajectory(progress)
    assert float(progress.phi["log_rate"]) == pytest.approx(math.log(RATE), abs=0.05)


def test_after_the_lessons_the_objective_counts() -> None:
    trainer = Trainer(make_recipe(VALUES | {"imitation": 2, "estimator": "full"}))
    assert [trainer.estimator_of(number) is trainer.imitation for number in (0, 1, 2)] == [True, True, False]
    assert [
        len(trainer.trajectories.segments(number, whole=trainer.estimator_of(number).whole)) for number in (1, 2)
    ] == [2, 1]


def test_a_training_that_was_stopped_in_its_lessons_goes_on_exactly() -> None:
    recipe = make_recipe(VALUES | {"imitation": 2, "trajectories": 3})
    undisturbed = Trainer(recipe).begin()
    resumed = undisturbed
    trainer = Trainer(recipe)
    for _ in range(3):
        undisturbed = trainer.run_trajectory(undisturbed)
        resumed = Trainer(recipe).run_trajectory(resumed)
    assert all(torch.equal(resumed.phi[name], value) for name, value in undisturbed.phi.items())


@pytest.mark.parametrize("values", [{"teacher": None}, {"imitation": 0}])
def test_a_teacher_without_lessons_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="teacher and imitation must be given together"):
        make_recipe(VALUES | values)


def test_a_teacher_that_is_no_optimizer_is_refused() -> None:
    with pytest.raises(UnknownName, match="adma"):
        Trainer(make_recipe(VALUES | {"teacher": "adma[lr=1]"}))
