"""The hierarchical optimizer: its formula, worked out in numpy coordinate by coordinate, and who hears of whom."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.hierarchical import Hierarchical
from l2obench.tasks.quadratic import Quadratic
from tests.optimizers.learned.replay import run

DOUBLE = torch.float64
SHAPES: dict[str, tuple[int, ...]] = {"matrix": (3, 2), "bias": (4,), "scalar": ()}
STEPS = 4


def trained(**fields: Any) -> Hierarchical:
    """Random meta-parameters in float64, of all that are constants at first too."""
    random = torch.Generator().manual_seed(3)
    sizes = {"hidden": 3, "tensor_hidden": 4, "global_hidden": 5, "initial_lr": 0.01}
    rule = Hierarchical(**(sizes | fields)).initialised(random)
    phi = {
        name: value.double() + 0.3 * torch.randn(value.shape, generator=random, dtype=DOUBLE)
        for name, value in rule.meta_parameters.items()
    }
    return rule.with_meta_parameters(phi)


def gradients(seeds: int = 1) -> list[Tensors]:
    random = torch.Generator().manual_seed(0)
    return [
        {name: torch.randn(seeds, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}
        for _ in range(STEPS)
    ]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def formula(rule: Hierarchical, steps: list[Tensors]) -> list[dict[str, np.ndarray]]:
    """The docstring's formula for one replica, one coordinate after the other."""
    phi = {name: value.numpy() for name, value in rule.meta_parameters.items()}
    scales = rule.scales

    def gru(level: str, x: np.ndarray, h: np.ndarray, heard: np.ndarray) -> np.ndarray:
        n = len(h)
        gates = phi[f"{level}.gates.weight"] @ np.concatenate([x, h]) + phi[f"{level}.gates.bias"] + heard[: 2 * n]
        r, z = sigmoid(gates[:n]), sigmoid(gates[n:])
        candidate = phi[f"{level}.candidate.weight"] @ np.concatenate([x, r * h]) + phi[f"{level}.candidate.bias"]
        return z * h + (1 - z) * np.tanh(candidate + heard[2 * n :])

    places = [(name, j) for name, shape in SHAPES.items() for j in range(math.prod(shape))]
    h0 = {place: np.zeros(rule.hidden) for place in places}
    h1 = {name: np.zeros(rule.tensor_hidden) for name in SHAPES}
    h2 = np.zeros(rule.global_hidden)
    g_bar = {place: np.zeros(scales) for place in places}
    squares = {place: np.zeros(scales) for place in places}
    gamma, delta = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    rate = dict.fromkeys(places, math.log(rule.initial_lr))
    moves = []
    for grads in steps:
        average = sum(rate.values()) / len(places)
        x, m, direction, step_rate = {}, {}, {}, {}
        new_h1, move = {}, {}
        for place in places:
            name, j = place
            g = float(grads[name].flatten()[j])
            decay = delta[place]
            for s in range(scales):
                g_bar[place][s] = (1 - decay) * g + decay * g_bar[place][s]
                decay = math.sqrt(decay)
                fresh = g_bar[place][s] ** 2 + 1e-12
                squares[place][s] = (1 - gamma[place]) * fresh + gamma[place] * squares[place][s]
            m[place] = np.arcsinh(g_bar[place] / np.sqrt(squares[place] + 1e-16))
            logs = np.log(squares[place] + 1e-16)
            products = m[place][:-1] * m[place][1:]
            x[place] = np.array([*m[place], *products, *(logs - logs.mean()), rate[place] - average])
            heard = phi["tensor_to_coordinate.weight"] @ h1[name] + phi["global_to_coordinate.weight"] @ h2
            h0[place] = gru("coordinate", x[place], h0[place], heard)
            direction[place] = float((phi["direction.weight"] @ h0[place] + phi["shortcut.weight"] @ m[place])[0])
            control = phi["control.weight"] @ h0[place] + phi["control.bias"]
            gamma[place], delta[place] = sigmoid(control[0]), sigmoid(control[1])
            step_rate[place] = min(max(rate[place] + control[2], -33.0), 33.0)
        for name, shape in SHAPES.items():
            own = [place for place in places if place[0] == name]
            seen = np.mean([np.concatenate([h0[place], x[place]]) for place in own], axis=0)
            new_h1[name] = gru("tensor", seen, h1[name], phi["global_to_tensor.weight"] @ h2)
            size = math.sqrt(np.mean([direction[place] ** 2 for place in own]) + 1e-16)
            row = [-math.exp(step_rate[place] + float(phi["rate_offset"])) * direction[place] / size for place in own]
            move[name] = np.array(row).reshape(shape)
        h1 = new_h1
        h2 = gru("global", np.mean(list(h1.values()), axis=0), h2, np.zeros(3 * rule.global_hidden))
        mu = sigmoid(float(phi["rate_momentum"]))
        rate = {place: mu * rate[place] + (1 - mu) * step_rate[place] for place in places}
        moves.append(move)
    return moves


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "no graph"])
@pytest.mark.parametrize("fields", [{}, {"scales": 2}, {"initial_lr": 1e16}], ids=str)
def test_updates_are_the_formula(fields: dict[str, Any], graph: bool) -> None:
    """The last of them begins beyond the bound of the log learning rate."""
    rule, steps = trained(**fields), gradients()
    for found, expected in zip(run(rule, steps, graph), formula(rule, steps), strict=True):
        for name, update in expected.items():
            np.testing.assert_allclose(found[name][0, 0].numpy(), update, rtol=1e-8, err_msg=name)


def test_it_has_the_papers_sizes() -> None:
    shapes = Hierarchical().network_shapes()
    assert shapes["coordinate.candidate.weight"] == (10, 12 + 10)
    assert shapes["tensor.candidate.weight"] == (20, 10 + 12 + 20)
    assert shapes["global.candidate.weight"] == (20, 20 + 20)


def test_tensors_hear_of_each_other_and_replicas_do_not() -> None:
    rule, steps = trained(), gradients(seeds=2)
    changed = [{name: value.clone() for name, value in grads.items()} for grads in steps]
    changed[0]["scalar"][0] *= -1
    before, after = run(rule, steps), run(rule, changed)
    assert (after[-1]["matrix"][0] - before[-1]["matrix"][0]).abs().min() > 1e-9
    assert all(torch.equal(after[-1][name][1], before[-1][name][1]) for name in SHAPES)


def test_the_scale_of_the_loss_does_not_matter() -> None:
    rule = trained()
    large = [{name: 1000 * value for name, value in grads.items()} for grads in gradients()]
    for found, expected in zip(run(rule, large), run(rule, gradients()), strict=True):
        for name in SHAPES:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=0)


def test_meta_gradients_are_derivatives_also_of_a_single_step() -> None:
    """By finite differences along a random direction; what decides the next step only has no say in a single one."""
    task, rule = Quadratic(dim=3, horizon=4), trained()

    def value(shift: float) -> float:
        moved = {name: phi + shift * direction[name] for name, phi in rule.meta_parameters.items()}
        problems = Problems(task, [1, 2], dtype=DOUBLE)
        learner = rule.with_meta_parameters(moved)
        return float(second_order_bptt(problems, learner, start(problems, learner), weights).losses.sum(-1).mean())

    random = torch.Generator().manual_seed(5)
    for steps in (1, 4):
        weights = torch.ones(steps, dtype=DOUBLE)
        problems = Problems(task, [1, 2], dtype=DOUBLE)
        grads = second_order_bptt(problems, rule, start(problems, rule), weights).meta_grads
        direction = {name: torch.randn(grad.shape, generator=random, dtype=DOUBLE) for name, grad in grads.items()}
        slope = sum(float((grads[name] * direction[name]).sum()) for name in grads)
        assert slope == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-4)
        assert bool(grads["rate_momentum"].abs() > 0) is (steps > 1)
    problems = Problems(task, [1, 2], dtype=DOUBLE)
    with torch.no_grad():
        carry = start(problems, rule)
    first = truncated_bptt(problems, rule, carry, weights).meta_grads
    assert all(grad.abs().max() > 0 for grad in first.values())
