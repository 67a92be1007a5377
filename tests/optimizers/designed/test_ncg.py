"""Nonlinear conjugate gradients: linear ones on quadratics, a plain loop elsewhere, and bounds where no model holds."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.ncg import NonlinearCG
from l2obench.tasks.ill_conditioned import IllConditioned
from l2obench.tasks.rosenbrock import ChainedRosenbrock

UNBOUNDED = NonlinearCG(growth=1e12)


def quadratic(dim: int, condition: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """H with this condition number, and a start."""
    random = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(dim, dim, generator=random, dtype=torch.float64))
    eigenvalues = condition ** -torch.linspace(0, 1, dim, dtype=torch.float64)
    return (q * eigenvalues) @ q.mT, torch.randn(dim, generator=random, dtype=torch.float64)


def linear_cg(h: Tensor, theta: Tensor, steps: int) -> list[Tensor]:
    """Hestenes & Stiefel 1952: the points after each step on ½ θᵀ H θ."""
    points, residual = [], -h @ theta
    direction = residual
    for _ in range(steps):
        alpha = (residual @ residual) / (direction @ h @ direction)
        theta = theta + alpha * direction
        points.append(theta)
        following = residual - alpha * (h @ direction)
        direction = following + (following @ following) / (residual @ residual) * direction
        residual = following
    return points


@pytest.mark.parametrize("condition", [3.0, 50.0])
@torch.no_grad()
def test_on_quadratics_the_minima_of_its_lines_are_linear_conjugate_gradients(condition: float) -> None:
    h, theta = quadratic(8, condition)
    expected = linear_cg(h, theta, 7)
    params = theta[None, None]
    state = UNBOUNDED.init({"x": params})
    for step in range(8):
        updates, state = UNBOUNDED.update({"x": params @ h}, state, {"x": params})
        params = params + updates["x"]
        if step:
            minimum = params - state["trial"].unsqueeze(-1) * state["direction"]
            torch.testing.assert_close(minimum[0, 0], expected[step - 1], rtol=1e-6, atol=1e-8)


def as_double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def plain(gradient: Tensor, memory: dict[str, Tensor], lr: float, growth: float) -> tuple[Tensor, dict[str, Tensor]]:
    """One step for one replica, branch by branch, from the rule's description."""
    if not memory:
        trial = lr * min(1.0, 1.0 / float(gradient.abs().sum()))
        return -trial * gradient, {
            "g": gradient,
            "d": -gradient,
            "a": as_double(trial),
            "k": as_double(0.0),
        }
    g, d, a = memory["g"], memory["d"], float(memory["a"])
    bend = float(d @ (gradient - g)) / a
    alpha = min(lr * float(-g @ d) / bend, growth * a) if bend > 0 else a
    new = g + (alpha / a) * (gradient - g)
    beta = max(0.0, float(new @ (new - g)) / float(g @ g))
    direction = -new + beta * d
    if float(new @ direction) >= 0:
        direction = -new
    k = max(abs(bend) / float(d @ d), float(memory["k"]) / 2)
    step = lr * float(-new @ direction) / (k * float(direction @ direction))
    step = min(step, growth * max(alpha, a) * float(d.norm() / direction.norm()))
    update = (alpha - a) * d + step * direction
    return update, {
        "g": new,
        "d": direction,
        "a": as_double(step),
        "k": as_double(k),
    }


def rosenbrock(x: Tensor) -> Tensor:
    return (10 * (x[..., 1:] - x[..., :-1].square()).square() + (1 - x[..., :-1]).square()).sum(-1)


@torch.no_grad()
def test_every_replica_follows_the_plain_loop_where_curvature_changes_sign() -> None:
    """In two parameters at once: products run over both."""
    seeds, rates = 3, [1.0, 0.5]
    rule = NonlinearCG().stacked({"lr": torch.tensor([rates], dtype=torch.float64)})
    random = torch.Generator().manual_seed(0)
    theta = torch.randn(seeds, 1, 5, generator=random, dtype=torch.float64).expand(-1, 2, -1).clone()
    alone = {(seed, k): theta[seed, k].clone() for seed in range(seeds) for k in range(2)}
    memories: dict[tuple[int, int], dict[str, Tensor]] = {key: {} for key in alone}
    params = {"a": theta[..., :2].view(seeds, 2, 2, 1), "b": theta[..., 2:]}
    state, bends = rule.init(params), []
    for _ in range(20):
        row = torch.cat([params["a"].flatten(2), params["b"]], -1)
        grads = torch.func.grad(lambda x: rosenbrock(x).sum())(row)
        updates, state = rule.update({"a": grads[..., :2].view(seeds, 2, 2, 1), "b": grads[..., 2:]}, state, params)
        params = {name: value + updates[name] for name, value in params.items()}
        for key, point in alone.items():
            gradient = torch.func.grad(rosenbrock)(point)
            if memories[key]:
                bends.append(float(memories[key]["d"] @ (gradient - memories[key]["g"])))
            update, memories[key] = plain(gradient, memories[key], rates[key[1]], rule.growth)
            alone[key] = point + update
            torch.testing.assert_close(
                torch.cat([params["a"][key].flatten(), params["b"][key]]), alone[key], rtol=1e-7, atol=1e-9
            )
    assert min(bends) < 0 < max(bends)


@torch.no_grad()
def test_it_stays_where_the_gradient_is_zero() -> None:
    params = {"x": torch.zeros(1, 1, 3)}
    state = UNBOUNDED.init(params)
    for _ in range(3):
        updates, state = UNBOUNDED.update(params, state, params)
        assert updates["x"].tolist() == [[[0, 0, 0]]]


@torch.no_grad()
@given(slope=st.floats(1e-3, 1e3))
def test_on_a_plane_steps_grow_by_no_more_than_their_bound(slope: float) -> None:
    """No curvature says how far to go."""
    rule, params = NonlinearCG(growth=4.0), {"x": torch.zeros(1, 1, 2, dtype=torch.float64)}
    state, lengths = rule.init(params), []
    for _ in range(5):
        updates, state = rule.update({"x": torch.full((1, 1, 2), slope, dtype=torch.float64)}, state, params)
        lengths.append(float(updates["x"].norm()))
    for before, after in itertools.pairwise(lengths):
        assert 0 < after <= 4.0 * before * (1 + 1e-9)


@pytest.mark.parametrize("task", [ChainedRosenbrock(horizon=300), IllConditioned(horizon=150)], ids=lambda t: t.name)
def test_without_noise_it_ends_far_below_adam(task: ChainedRosenbrock) -> None:
    finals = {
        rule.name: task.final_loss(rollout(task, rule, [1, 2, 3], evaluate=False).losses).median()
        for rule in (NonlinearCG(), Adam(lr=0.05))
    }
    assert finals["ncg"] < 1e-4 * finals["adam"]
