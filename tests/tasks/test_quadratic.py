"""Quadratics: the formula, the hand-batched gradient, the family's parameters."""

import pytest
import torch
from pydantic import ValidationError

from l2obench.tasks.base import Task
from l2obench.tasks.quadratic import Quadratic


def sampled(task: Quadratic, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    problem = task.sample(torch.Generator().manual_seed(seed))
    return problem.data["w"], problem.data["y"], problem.params["theta"]


def test_loss_is_the_papers_sum_of_squares() -> None:
    w, y = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([1.0, 1.0])
    theta = torch.tensor([1.0, 1.0])
    assert float(Quadratic(dim=2).loss({"theta": theta}, {"w": w, "y": y})) == (3 - 1) ** 2 + (-1 - 1) ** 2


@pytest.mark.parametrize("settings", [1, 4])
def test_batched_gradient_equals_the_default(settings: int) -> None:
    task = Quadratic(dim=6)
    random = torch.Generator().manual_seed(0)
    batch = {
        "w": torch.randn(3, 6, 6, generator=random, dtype=torch.float64),
        "y": torch.randn(3, 6, generator=random, dtype=torch.float64),
    }
    params = {"theta": torch.randn(3, settings, 6, generator=random, dtype=torch.float64)}
    losses, grads = task.loss_and_grad(params, batch)
    expected_losses, expected_grads = Task.loss_and_grad(task, params, batch)
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(grads["theta"], expected_grads["theta"])


def test_distribution_and_scale() -> None:
    w, y, theta = sampled(Quadratic(dim=200, scale=3.0))
    assert abs(float(w.mean())) < 0.05
    assert abs(float(w.std()) - 1) < 0.05
    assert 2.5 < float(theta.std()) < 3.5
    w, y, theta = sampled(Quadratic(dim=200, distribution="uniform", scale=0.0))
    assert 0 <= float(w.min()) < float(w.max()) < 1
    assert 0 <= float(y.min()) < float(y.max()) < 1
    assert not theta.any()


def test_condition_number_is_what_was_asked() -> None:
    w, _, _ = sampled(Quadratic(dim=12, condition=50))
    singular = torch.linalg.svdvals(w)
    assert float(singular[0] / singular[-1]) == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("parameters", [{"dim": 0}, {"dim": "ten"}, {"distribution": "cauchy"}, {"condition": 0.5}])
def test_bad_parameters_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        Quadratic(**parameters)
