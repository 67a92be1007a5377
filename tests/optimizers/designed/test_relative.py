"""Relative Muon and relative Adam: held against a plain loop in float64, one replica and one tensor at a time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.base import Tensors
from l2obench.optimizers.designed.relative import RelativeOptimizer
from l2obench.optimizers.designed.relative_adam import RelativeAdam
from l2obench.optimizers.designed.relative_muon import RelativeMuon
from l2obench.tasks.transformer import CharTransformer

SHAPES: dict[str, tuple[int, ...]] = {
    "wide": (3, 7),
    "tall": (6, 2),
    "filters": (4, 3, 3, 3),
    "row": (1, 5),
    "column": (5, 1),
    "bias": (4,),
    "scalar": (),
    "embedding": (10, 4),
}


def plain_newton_schulz(matrix: Tensor) -> Tensor:
    """As in Muon's description: odd polynomials of the singular values, without a transpose."""
    u, s, vh = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ vh


class Plain:
    """The rule for one tensor of one replica, written down from its description, step by step."""

    def __init__(self, theta: Tensor, horizon: int, lr: float, orthogonal: bool) -> None:
        self.theta, self.horizon, self.lr, self.orthogonal = theta.clone(), horizon, lr, orthogonal
        self.m, self.v, self.t = torch.zeros_like(theta), torch.zeros_like(theta), 0
        self.embedding: bool | None = None

    def step(self, grad: Tensor) -> Tensor:
        shape, t = grad.shape, self.t
        rows = grad.reshape(shape[0], -1) if grad.ndim >= 2 else None
        matrix = rows is not None and min(rows.shape) > 1
        if t == 0:
            zero = [bool((row == 0).all()) for row in rows] if grad.ndim == 2 and rows is not None else [False]
            matrix = matrix and not sum(zero) / len(zero) > 0.2
            self.matrix = matrix
            usual, start = 1 / math.sqrt(math.prod(shape[1:])), float(self.theta.square().mean().sqrt())
            floor = 0.2 if not matrix else start if 0 < start < 0.1 * usual else 0.5 * usual
            self.floor, self.first = floor, max(float(self.theta.square().mean().sqrt()), floor)
        self.m = 0.9 * self.m + 0.1 * grad
        self.v = 0.99 * self.v + 0.01 * grad**2
        ahead = (0.9 * self.m + 0.1 * grad) / (1 - 0.9 ** (t + 2))
        if self.matrix and self.orthogonal:
            o = plain_newton_schulz(ahead.reshape(shape[0], -1)).reshape(shape)
            direction = o / o.square().mean().sqrt()
        else:
            root = (self.v / (1 - 0.99 ** (t + 1))).sqrt()
            direction = torch.where(root > 0, ahead / root, 0)
        size = min(max(float(self.theta.square().mean().sqrt()), self.floor), 1.5 * self.first)
        warm = min(1, (t + 1) / max(1, min(0.02 * self.horizon, 20)))
        rate = self.lr * warm * 0.5 * (1 + math.cos(math.pi * t / self.horizon))
        update = -rate * size * direction
        self.theta, self.t = self.theta + update, t + 1
        return update


def gradients(random: torch.Generator, seeds: int, settings: int, first: bool) -> Tensors:
    grads = {
        name: torch.randn(seeds, settings, *shape, generator=random, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }
    if first:  # four of ten tokens are not in the minibatch, in the first seed alone
        grads["embedding"][0, :, [1, 4, 5, 8]] = 0
    return grads


@pytest.mark.parametrize("rule_class", [RelativeMuon, RelativeAdam])
@torch.no_grad()
def test_every_replica_follows_the_plain_loop(rule_class: type[RelativeOptimizer]) -> None:
    seeds, settings, horizon = 2, 3, 120
    rates = torch.tensor([[0.02, 0.036, 0.5]], dtype=torch.float64)  # the last one reaches the cap
    rule = rule_class().stacked({"lr": rates})
    random = torch.Generator().manual_seed(0)
    params = {
        name: scale * torch.randn(seeds, settings, *shape, generator=random, dtype=torch.float64)
        for (name, shape), scale in zip(SHAPES.items(), (1.0, 0.01, 0.1, 1.0, 0.0, 0.0, 1.0, 0.3), strict=True)
    }
    plain = {
        (name, seed, k): Plain(value[seed, k], horizon, float(rates[0, k]), rule_class is RelativeMuon)
        for name, value in params.items()
        for seed in range(seeds)
        for k in range(settings)
    }
    state = rule.init(params)
    for step in range(60):
        grads = gradients(random, seeds, settings, first=step == 0)
        state = rule.observe(state, torch.ones(seeds, settings, dtype=torch.float64), horizon)
        updates, state = rule.update(grads, state, params)
        params = {name: value + updates[name] for name, value in params.items()}
        for (name, seed, k), reference in plain.items():
            expected = reference.step(grads[name][seed, k])
            torch.testing.assert_close(updates[name][seed, k], expected, rtol=1e-7, atol=1e-12)
    caps = [
        float(params[name][seed, 2].square().mean().sqrt()) > 1.5 * each.first
        for (name, seed, k), each in plain.items()
        if k == 2
    ]
    assert any(caps)


@pytest.mark.parametrize(("start", "size"), [(0.0, 0.05), (0.001, 0.001), (0.0099, 0.0099), (0.011, 0.05), (0.2, 0.2)])
@torch.no_grad()
def test_a_matrix_that_starts_far_below_its_fan_in_takes_steps_relative_to_its_own_start(
    start: float, size: float
) -> None:
    params = {"w": torch.full((1, 1, 100, 100), start)}
    rule = RelativeAdam(lr=0.1)
    state = rule.observe(rule.init(params), torch.ones(1, 1), horizon=10)
    updates, _ = rule.update({"w": torch.ones(1, 1, 100, 100)}, state, params)
    assert float(updates["w"].abs().mean()) == pytest.approx(0.1 * size, rel=1e-5)


@torch.no_grad()
def test_a_first_gradient_of_zeros_does_not_make_an_embedding() -> None:
    """Below an output layer that starts at zero every gradient of the first step is zero."""
    rule, params = RelativeMuon(), {"w": torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))}
    state = rule.init(params)
    for grad in (torch.zeros(1, 1, 4, 4), torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))):
        state = rule.observe(state, torch.ones(1, 1), 100)
        updates, state = rule.update({"w": grad}, state, params)
        if not grad.any():
            assert not updates["w"].any()
    assert not state["of"]["w"]["embedding"].any()
    singular = torch.linalg.svdvals(updates["w"][0, 0])
    assert singular.max() / singular.min() < 2


@torch.no_grad()
@given(scale=st.floats(1e-6, 1e6))
def test_the_scale_of_the_loss_does_not_matter(scale: float) -> None:
    updates = []
    for factor in (1.0, scale):
        rule = RelativeMuon()
        random = torch.Generator().manual_seed(3)
        params = {
            name: torch.randn(1, 1, *shape, generator=random, dtype=torch.float64) for name, shape in SHAPES.items()
        }
        state = rule.init(params)
        for _ in range(3):
            state = rule.observe(state, torch.ones(1, 1, dtype=torch.float64), 50)
            grads = {name: factor * grad for name, grad in gradients(random, 1, 1, first=False).items()}
            found, state = rule.update(grads, state, params)
        updates.append(found)
    for name in SHAPES:
        torch.testing.assert_close(updates[0][name], updates[1][name], rtol=1e-4, atol=1e-9)


@torch.no_grad()
def test_the_last_steps_go_to_zero_and_later_ones_stay_there() -> None:
    rule, params = RelativeAdam(), {"w": torch.ones(1, 1, 3, 3)}
    state, sizes = rule.init(params), []
    for _ in range(12):
        state = rule.observe(state, torch.ones(1, 1), 10)
        updates, state = rule.update({"w": torch.ones(1, 1, 3, 3)}, state, params)
        sizes.append(float(updates["w"].abs().max()))
    assert sizes[:10] == sorted(sizes[:10], reverse=True)
    assert sizes[9] < 0.03 * sizes[0]
    assert sizes[10:] == [0, 0]


def test_a_rule_that_was_not_told_the_horizon_says_what_to_do() -> None:
    params = {"w": torch.ones(1, 1, 3)}
    with pytest.raises(ValueError, match=r"relative-muon must know the number of steps, got none\. Try: call observe"):
        RelativeMuon().update(params, RelativeMuon().init(params), params)


@pytest.mark.parametrize("name", ["relative-muon", "relative-adam"])
def test_it_trains_a_transformer_untuned(name: str) -> None:
    """Its embeddings are found: characters that a minibatch lacks have no gradient."""
    task = CharTransformer(horizon=60, batch=8, context=16, width=16)
    rule = optimizer_registry().create(name)
    result = rollout(task, rule, [1, 2], evaluate=False)
    assert (result.losses[..., -1] < 0.85 * result.losses[..., 0]).all()
    assert (result.diverged_at == -1).all()
