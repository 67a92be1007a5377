"""Learned Adam is Adam, with the values that its meta-parameters say."""

import math

import pytest
import torch

from l2obench.optimizers.learned.learned_adam import LearnedAdam


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "in place"])
@pytest.mark.parametrize(("lr", "beta1", "beta2", "epsilon"), [(1e-3, 0.9, 0.999, 1e-8), (0.05, 0.5, 0.8, 0.01)])
def test_twenty_steps_equal_torchs_adam(lr: float, beta1: float, beta2: float, epsilon: float, graph: bool) -> None:
    values = {"log_lr": lr, "log_one_minus_beta1": 1 - beta1, "log_one_minus_beta2": 1 - beta2, "log_epsilon": epsilon}
    phi = {name: torch.tensor(math.log(value), dtype=torch.float64) for name, value in values.items()}
    rule = LearnedAdam().with_meta_parameters(phi)
    theirs = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    ours = {"x": theirs.detach().clone()}
    optimizer = torch.optim.Adam([theirs], lr=lr, betas=(beta1, beta2), eps=epsilon)
    with torch.set_grad_enabled(graph):
        state = rule.init(ours)
        for grad in torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64):
            theirs.grad = grad
            optimizer.step()
            updates, state = rule.update({"x": grad}, state, ours)
            ours = {"x": ours["x"] + updates["x"].detach()}
            torch.testing.assert_close(ours["x"], theirs.detach(), rtol=1e-9, atol=1e-12)


def test_training_begins_at_adams_defaults() -> None:
    phi = LearnedAdam().initialised(torch.Generator()).meta_parameters
    assert {name: round(float(value.exp()), 12) for name, value in phi.items()} == {
        "log_lr": pytest.approx(1e-3, rel=1e-5),
        "log_one_minus_beta1": pytest.approx(0.1, rel=1e-5),
        "log_one_minus_beta2": pytest.approx(1e-3, rel=1e-5),
        "log_epsilon": pytest.approx(1e-8, rel=1e-3),
    }
