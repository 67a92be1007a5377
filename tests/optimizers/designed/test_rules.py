"""The hand-designed rules are torch.optim's, step by step, in float64."""

import warnings
from collections.abc import Callable

import pytest
import torch

from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import LARGE, Adam
from l2obench.optimizers.designed.adamw import AdamW
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.nag import NAG
from l2obench.optimizers.designed.rmsprop import RMSprop
from l2obench.optimizers.designed.sgd import SGD

PAIRS: list[tuple[Optimizer, Callable[..., torch.optim.Optimizer]]] = [
    (SGD(lr=0.02), lambda p: torch.optim.SGD(p, lr=0.02)),
    (Momentum(lr=0.01, momentum=0.8), lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8)),
    (NAG(lr=0.01, momentum=0.8), lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True)),
    (RMSprop(lr=0.03, alpha=0.95, epsilon=1e-6), lambda p: torch.optim.RMSprop(p, lr=0.03, alpha=0.95, eps=1e-6)),
    (Adam(lr=0.1, beta1=0.8, beta2=0.99), lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.99))),
    (AdamW(lr=0.1, weight_decay=0.1), lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1)),
]


@torch.no_grad()
def test_adams_fused_steps_are_its_plain_ones() -> None:
    """Large tensors go through torch's kernel, unless hyperparameters other than the learning rate are tensors."""
    random = torch.Generator().manual_seed(0)
    rates = {"lr": torch.tensor([[0.1, 0.2]], dtype=torch.float64)}
    alike = {"beta1": torch.tensor([[0.8, 0.8]], dtype=torch.float64)}
    for rule in (Adam(lr=0.1, beta1=0.8), Adam(beta1=0.8).stacked(rates)):
        rules = [rule, rule.stacked(alike)]
        param = torch.zeros(1, 2, LARGE, dtype=torch.float64)
        states = [each.init_tensor(param) for each in rules]
        for _ in range(3):
            grad = torch.randn(param.shape, generator=random, dtype=torch.float64)
            before = grad.clone()
            (fused, states[0]), (expected, states[1]) = (
                each.update_tensor(grad, state, param) for each, state in zip(rules, states, strict=True)
            )
            torch.testing.assert_close(fused, expected)
            assert torch.equal(grad, before)
        assert states[0]["step"] == states[1]["step"] == 3
        torch.testing.assert_close(states[0]["mean"], states[1]["mean"])


@torch.no_grad()
def test_adams_fused_steps_take_a_count_that_is_a_tensor() -> None:
    """As whole programs hand it on (`--compile`); the count itself is left alone."""
    rule, param = Adam(lr=0.1), torch.zeros(1, 1, LARGE)
    grad = torch.ones_like(param)
    expected, _ = rule.update_tensor(grad, {**rule.init_tensor(param), "step": 3}, param)
    count = torch.tensor(3.0, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, state = rule.update_tensor(grad, {**rule.init_tensor(param), "step": count}, param)
    assert torch.equal(found, expected)
    assert (float(count), float(state["step"])) == (3, 4)


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (0.1 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


@pytest.mark.parametrize(("rule", "torch_class"), PAIRS, ids=[rule.name for rule, _ in PAIRS])
def test_fifty_steps_equal_torch(rule: Optimizer, torch_class: Callable[..., torch.optim.Optimizer]) -> None:
    start = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    optimizer = torch_class([theirs])
    ours = {"x": start.clone()}
    state = rule.init(ours)
    for _ in range(50):
        optimizer.zero_grad()
        rosenbrock(theirs).backward()
        optimizer.step()
        grads = {"x": torch.func.grad(rosenbrock)(ours["x"])}
        updates, state = rule.update(grads, state, ours)
        ours = {"x": ours["x"] + updates["x"]}
        torch.testing.assert_close(ours["x"], theirs.detach(), rtol=0, atol=1e-6)
    assert (ours["x"] - start).abs().max() > 0.1


@pytest.mark.parametrize("rule", [rule for rule, _ in PAIRS], ids=lambda rule: rule.name)
def test_stacked_hyperparameters_equal_one_run_each(rule: Optimizer) -> None:
    """Replicas with a rate each step as if every one were alone."""
    rates = torch.tensor([[0.001, 0.01, 0.1]], dtype=torch.float64)
    random = torch.Generator().manual_seed(1)
    params = {"w": torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64)}
    grads = {"w": torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64)}
    stacked = rule.stacked({"lr": rates})
    state = stacked.init(params)
    for _ in range(3):
        together, state = stacked.update(grads, state, params)
    for k, rate in enumerate(rates[0].tolist()):
        alone = rule.model_copy(update={"lr": rate})
        one = {"w": params["w"][:, k]}
        state = alone.init(one)
        for _ in range(3):
            updates, state = alone.update({"w": grads["w"][:, k]}, state, one)
        torch.testing.assert_close(together["w"][:, k], updates["w"])


@pytest.mark.parametrize("rule", [rule for rule, _ in PAIRS], ids=lambda rule: rule.name)
def test_update_leaves_its_inputs_alone(rule: Optimizer) -> None:
    params, grads = {"x": torch.ones(3)}, {"x": torch.full((3,), 2.0)}
    rule.update(grads, rule.init(params), params)
    assert params["x"].tolist() == [1, 1, 1]
    assert grads["x"].tolist() == [2, 2, 2]
