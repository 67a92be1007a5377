"""Ill-conditioned quadratics and the chained Rosenbrock function: closed forms, gradients, minima."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import rosen, rosen_der

from l2obench.bench.rollout.problems import Problems
from l2obench.tasks.base import Task
from l2obench.tasks.ill_conditioned import IllConditioned
from l2obench.tasks.rosenbrock import ChainedRosenbrock


def test_quadratics_are_half_the_form_of_their_hessian() -> None:
    task = IllConditioned(dim=3)
    root, minimum = torch.diag(torch.tensor([1.0, 0.5, 0.1])), torch.tensor([1.0, 0.0, -1.0])
    data = {"root": root, "minimum": minimum}
    loss = task.loss({"theta": torch.tensor([2.0, 2.0, 9.0])}, data)
    assert float(loss) == pytest.approx((1 * 1 + 0.25 * 4 + 0.01 * 100) / 2)
    assert float(task.loss({"theta": minimum}, data)) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.floats(1, 1e8), st.integers(0, 1000))
def test_the_condition_number_is_what_was_asked(dim: int, condition: float, seed: int) -> None:
    problem = IllConditioned(dim=dim, condition=condition).sample(torch.Generator().manual_seed(seed))
    singular = torch.linalg.svdvals(problem.data["root"].double())
    assert float(singular[0] ** 2) == pytest.approx(1, rel=1e-4)
    assert float((singular[0] / singular[-1]) ** 2) == pytest.approx(condition, rel=1e-2)


def test_the_spectrum_is_log_uniform_and_its_basis_uniform() -> None:
    """Exponents between the ends have the mean 1/2 and the variance 1/12; the diagonal of a random basis the mean 0."""
    problem = IllConditioned(dim=400, condition=1e6).sample(torch.Generator().manual_seed(1))
    root = problem.data["root"].double()
    lengths = root.norm(dim=1)
    exponents = (lengths.log10() * -2 / 6)[2:]
    assert float(exponents.mean()) == pytest.approx(1 / 2, abs=0.05)
    assert float(exponents.var()) == pytest.approx(1 / 12, abs=0.02)
    basis = root / lengths[:, None]
    torch.testing.assert_close(basis @ basis.mT, torch.eye(400, dtype=torch.float64), atol=1e-5, rtol=0)
    assert abs(float(basis.diagonal().mean())) < 3 / 400  # without the signs of QR it would be off zero


def test_the_quadratics_gradient_equals_autograd() -> None:
    task = IllConditioned(dim=6)
    problems = Problems(task, [1, 2, 3], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    params = {"theta": torch.randn(3, 4, 6, generator=random, dtype=torch.float64)}
    batch = problems.minibatch()
    losses, grads = task.loss_and_grad(params, batch)
    expected_losses, expected = Task.loss_and_grad(task, params, batch)
    torch.testing.assert_close(losses, expected_losses)
    torch.testing.assert_close(grads["theta"], expected["theta"])


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_rosenbrock_and_its_gradient_are_scipys(dim: int) -> None:
    task, random = ChainedRosenbrock(dim=dim), torch.Generator().manual_seed(dim)
    theta = torch.randn(3, 2, dim, generator=random, dtype=torch.float64)
    losses, grads = task.loss_and_grad({"theta": theta}, {})
    for seed in range(3):
        for setting in range(2):
            point = theta[seed, setting]
            assert float(task.loss({"theta": point}, {})) == pytest.approx(float(rosen(point.numpy())))
            assert float(losses[seed, setting]) == pytest.approx(float(rosen(point.numpy())))
            torch.testing.assert_close(grads["theta"][seed, setting], torch.from_numpy(rosen_der(point.numpy())))


def test_rosenbrocks_walls_have_the_steepness_that_was_asked() -> None:
    task = ChainedRosenbrock(steepness=7)
    assert float(task.loss({"theta": torch.tensor([2.0, 5.0])}, {})) == 7 * (5 - 4) ** 2 + (1 - 2) ** 2
    random = torch.Generator().manual_seed(0)
    params = {"theta": torch.randn(2, 2, 2, generator=random, dtype=torch.float64)}
    expected = torch.autograd.functional.jacobian(lambda theta: task.loss({"theta": theta}, {}).sum(), params["theta"])
    torch.testing.assert_close(task.loss_and_grad(params, {})[1]["theta"], expected)


def test_the_minimum_is_zero_at_ones() -> None:
    losses, grads = ChainedRosenbrock(dim=5).loss_and_grad({"theta": torch.ones(1, 1, 5)}, {})
    assert not losses.any()
    assert not grads["theta"].any()


def test_another_seed_is_another_function() -> None:
    for task in (IllConditioned(), ChainedRosenbrock()):
        first, second = (task.sample(torch.Generator().manual_seed(seed)) for seed in (1, 2))
        assert not torch.equal(first.params["theta"], second.params["theta"])
        assert all(not torch.equal(first.data[name], second.data[name]) for name in first.data)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        (IllConditioned, {"condition": 0.5}),
        (IllConditioned, {"dim": 1}),
        (ChainedRosenbrock, {"dim": 1}),
        (ChainedRosenbrock, {"steepness": 0}),
    ],
)
def test_bad_parameters_are_refused(family: type[Task], parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        family(**parameters)
