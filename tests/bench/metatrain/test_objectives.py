"""What a trajectory's losses are made of: weights of steps, and objectives that are not linear in the losses."""

import pytest
import torch

from l2obench.bench.config.recipe import RecipeError, Term, Weighting, make_recipe
from l2obench.bench.metatrain.estimators.bptt import BPTT
from l2obench.bench.metatrain.estimators.objective import LossHistory, Objective
from l2obench.bench.metatrain.estimators.second_order import SecondOrderBPTT
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.metatrain.weighting import step_weights
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.studies.known import Bowl, LearnedRate
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Tensors
from l2obench.tasks.mnist import MnistMlp
from tests.bench.metatrain.test_gradient import trained

DOUBLE = torch.float64
CASE = LSTM(hidden=4)
SMALL = {"task": "quadratic[dim=3,horizon=20]", "unroll": 10}


@pytest.mark.parametrize("weighting", ["uniform", "linear", "exponential", "final", "learned", (0.0, 3.0, 1.0)])
@pytest.mark.parametrize("horizon", [1, 2, 40])
def test_weights_have_mean_one(weighting: Weighting, horizon: int) -> None:
    weights = step_weights(weighting, horizon)
    assert weights.shape == (horizon,)
    assert float(weights.mean()) == pytest.approx(1)
    assert (weights >= 0).all()


def test_exponential_weights_grow_by_one_factor_to_e5_times_the_first() -> None:
    weights = step_weights("exponential", 40)
    factors = weights[1:] / weights[:-1]
    torch.testing.assert_close(factors, factors[:1].expand(39))
    assert float(weights[-1] / weights[0]) == pytest.approx(torch.tensor(5.0).exp().item(), rel=1e-4)


def test_points_are_joined_by_straight_lines() -> None:
    weights = step_weights((0, 2, 1), 4)
    torch.testing.assert_close(weights / weights[0], torch.tensor([1.0, 2.0, 1.5, 1.0]))
    torch.testing.assert_close(step_weights((7,), 3), torch.ones(3))


@pytest.mark.parametrize("points", ["0,0", [0.0], "1,-1", "1,inf", "nan"])
def test_points_that_sum_to_nothing_are_refused(points: object) -> None:
    with pytest.raises(
        RecipeError, match=r"^recipe: weighting: must be zero or more at every point and above zero at one"
    ):
        make_recipe(SMALL | {"weighting": points})


@pytest.mark.parametrize("wrong", ["best", "", [], 3, None])
def test_what_is_no_weighting_is_refused_in_a_line(wrong: object) -> None:
    with pytest.raises(RecipeError, match=r"^recipe: weighting: must be uniform, .* or numbers such as 0,0.5,1, got"):
        make_recipe(SMALL | {"weighting": wrong})


def test_points_between_which_no_step_lies_are_refused() -> None:
    with pytest.raises(RecipeError, match="weighting must be above zero at one of the 1 steps, got 1,0"):
        Trainer(make_recipe({"task": "quadratic[horizon=1]", "unroll": 1, "weighting": "1,0"}))


LOSSES = torch.tensor([[[4.0, 2.0, 3.0, 1.0]]], dtype=DOUBLE)
MET = LossHistory(first=torch.tensor([[8.0]], dtype=DOUBLE), best=torch.tensor([[2.5]], dtype=DOUBLE))
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=DOUBLE)


@pytest.mark.parametrize(
    ("term", "slopes"),
    [("log-ratio", [1 / 4, 2 / 2, 3 / 3, 4 / 1]), ("best-so-far", [0, 2 + 3, 0, 4])],
)
def test_slopes_of_an_objective(term: Term, slopes: list[float]) -> None:
    """d log f/f_0 = 1/f; the best so far moves with the step that made it, unless that was in an earlier segment."""
    found = Objective(term).slopes(WEIGHTS, LOSSES, MET)
    torch.testing.assert_close(found, torch.tensor([[slopes]], dtype=DOUBLE))
    assert Objective().slopes(WEIGHTS, LOSSES, MET) is WEIGHTS


def test_values_of_objectives() -> None:
    logs = (LOSSES[0, 0] / 8).log()
    assert float(Objective("log-ratio").value(WEIGHTS, LOSSES, MET)) == pytest.approx(float(WEIGHTS @ logs))
    assert float(Objective("best-so-far").value(WEIGHTS, LOSSES, MET)) == pytest.approx(2.5 + 2 * 2 + 3 * 2 + 4)
    assert float(MET.after(LOSSES).best) == 1
    assert float(MET.after(LOSSES + 9).best) == 2.5


def test_log_ratio_needs_losses_above_zero() -> None:
    with pytest.raises(
        RecipeError, match=r"objective=log-ratio needs losses above zero, got -1 on this task\. Try: objective=loss"
    ):
        Objective("log-ratio").value(WEIGHTS, LOSSES - 2, MET)


@pytest.mark.parametrize("term", ["log-ratio", "best-so-far"])
@pytest.mark.parametrize("coordinates", [None, 10**6], ids=["all", "sampled all"])
def test_slopes_enter_backpropagation(term: Term, coordinates: int | None) -> None:
    """Replicas meet other losses, so each has weights of its own: the same as one replica at a time."""
    task = MnistMlp(units=3, batch=4)
    rule = trained(CASE)
    weights = torch.linspace(0.5, 2, 5, dtype=DOUBLE)

    def meta_gradient(seeds: list[int], picked: int | None) -> Tensors:
        estimator, random = BPTT(objective=Objective(term), coordinates=picked), torch.Generator().manual_seed(0)
        problems = Problems(task, seeds, dtype=DOUBLE)
        return estimator.advance(problems, rule, estimator.begin(problems, rule, random), weights, random).meta_grads

    together = meta_gradient([1, 2], coordinates)
    first, second = meta_gradient([1], None), meta_gradient([2], None)
    for name, value in together.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2, rtol=1e-9, atol=1e-12)


def test_an_objective_is_differentiated_exactly() -> None:
    """Σ log f(θ_t)/f(θ_0) of gradient descent on ½hθ²: Σ 2t log(1 − αh), so the derivative is −Σ 2t αh/(1 − αh)."""
    rule = LearnedRate().with_meta_parameters({"log_rate": torch.tensor(-1.0, dtype=DOUBLE)})
    problems, random = Problems(Bowl(), [1, 2], dtype=DOUBLE), torch.Generator()
    h = Problems(Bowl(), [1, 2], dtype=DOUBLE).minibatch()["h"][:, 0]
    ah = h * torch.tensor(-1.0, dtype=DOUBLE).exp()
    t = torch.arange(1, 6)
    expected = float((-2 * t.sum() * ah / (1 - ah)).mean())
    weights = torch.ones(5, dtype=DOUBLE)
    for estimator in (SecondOrderBPTT(objective=Objective("log-ratio")), BPTT(objective=Objective("log-ratio"))):
        unroll_state = estimator.begin(problems, rule, random)
        found = float(estimator.advance(problems, rule, unroll_state, weights, random).meta_grads["log_rate"])
        if isinstance(estimator, SecondOrderBPTT):
            assert found == pytest.approx(expected, rel=1e-9)
        else:
            assert found < 1.1 * expected, "what is dropped makes it too large"
