"""ELO's rules against numpy, in the layout of their authors, for thirty steps on tensors of every kind."""

from typing import Any

import numpy as np
import pytest
import torch

from l2obench.optimizers.learned.elo import ELO, ELOCelo2, clip_to_norm
from l2obench.optimizers.learned.perceptron import TIMESCALES
from tests.optimizers.learned import celo_reference as reference
from tests.optimizers.learned.test_celo import (
    DOUBLE,
    assert_follows,
    back,
    numbers,
    stacked,
    start,
    streams,
    theirs,
    trained,
)

# Of the thirty features of Celo, in its order, without clip(g) and g / √v.
CHOSEN = [0, 2, *range(3, 14), *range(15, 30)]


def clipped(grads: dict[str, np.ndarray], most: float) -> dict[str, np.ndarray]:
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    return {name: g * (most / norm if norm > most else 1.0) for name, g in grads.items()}


def elo_direction(phi: dict[str, Any], theta: Any, g: Any, memory: reference.Memory, step: int) -> Any:
    x = reference.features(g, theta, memory, 0.999, 1e-6)[CHOSEN]
    if g.ndim < 2:
        x[-3:] = memory.momenta * reference.rsqrt(memory.rows + 1e-6)
    x = np.stack([row * reference.rsqrt(np.mean(row**2) + 1e-5) for row in x])
    time = [np.full(g.shape, np.tanh(step / scale - 1)) for scale in TIMESCALES]
    d, a = reference.network(np.concatenate([x, np.stack(time)]), reference.layers_of(phi))
    return d * np.exp(0.001 * a)


@pytest.mark.parametrize("most", [0.0, 2.0])
def test_elo_is_its_authors_formula(most: float) -> None:
    rule = trained(ELO(hidden=6, lr=0.02, weight_decay=0.1, max_norm=most))
    replicas = []
    for seed in range(2):
        params = {name: theirs(value[seed, 0]) for name, value in start().items()}
        memory = {name: reference.remember(value.shape) for name, value in params.items()}
        steps = []
        for step, (grads, _) in enumerate(streams()):
            found = {name: theirs(grads[name][seed, 0]) for name in params}
            found = clipped(found, most) if most else found
            for name, theta in params.items():
                move = elo_direction(numbers(rule), theta, found[name], memory[name], step)
                params[name] = theta - 0.02 * (move + 0.1 * theta)
            steps.append({name: back(value) for name, value in params.items()})
        replicas.append(steps)
    assert_follows(rule, stacked(replicas))


def test_elo_celo2_is_its_authors_formula() -> None:
    rule = trained(ELOCelo2(lr=0.02))
    replicas = []
    for seed in range(2):
        params = {name: theirs(value[seed, 0]) for name, value in start().items()}
        memory = {name: reference.remember(value.shape) for name, value in params.items()}
        moments = {name: reference.Moments(0 * value, 0 * value) for name, value in params.items()}
        steps = []
        for grads, _ in streams():
            found = clipped({name: theirs(grads[name][seed, 0]) for name in params}, 1.0)
            for name, theta in params.items():
                rate = 0.02
                if theta.ndim >= 2 and name != "embedding":
                    move = reference.celo2_direction(numbers(rule), theta, found[name], memory[name], orthogonal=True)
                else:
                    move, rate = moments[name].direction(found[name], 0.9, 0.95, lambda v: np.sqrt(v) + 1e-8), 0.4
                params[name] = theta - rate * (move + 0.1 * theta)
            steps.append({name: back(value) for name, value in params.items()})
        replicas.append(steps)
    assert_follows(rule, stacked(replicas))


def test_a_nan_counts_as_no_gradient() -> None:
    rule = trained(ELO(hidden=3))
    params = {"w": torch.ones(1, 1, 3, 2, dtype=DOUBLE)}
    bad = torch.ones_like(params["w"])
    bad[0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        found, _ = rule.update({"w": bad}, rule.init(params), params)
        expected, _ = rule.update({"w": bad.nan_to_num()}, rule.init(params), params)
    torch.testing.assert_close(found["w"], expected["w"], rtol=0, atol=0)


def test_replicas_are_clipped_each_by_itself() -> None:
    grads = {"a": torch.tensor([[[3.0]], [[0.3]]]), "b": torch.tensor([[[4.0]], [[0.4]]])}
    found = clip_to_norm(grads, 1.0)
    assert found["a"].flatten().tolist() == pytest.approx([0.6, 0.3])
    assert found["b"].flatten().tolist() == pytest.approx([0.8, 0.4])
