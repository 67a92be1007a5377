"""The perceptron of Metz et al.: its nineteen features, worked out coordinate by coordinate."""

import math

import numpy as np
import pytest
import torch

from l2obench.optimizers.learned.mlp import MLP

BETAS = [0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]
TIMES = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000]


def root_mean_square(values: np.ndarray) -> float:
    return math.sqrt(np.mean(values**2) + 1e-5)


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "no graph"])
def test_updates_are_the_formula(graph: bool) -> None:
    rule = MLP(hidden=7, layers=2, magnitude_scale=0.1).initialised(torch.Generator().manual_seed(3))
    phi = {name: value.double().numpy() for name, value in rule.meta_parameters.items()}
    random = torch.Generator().manual_seed(0)
    shapes = {"matrix": (2, 3), "scalar": ()}
    params = {k: torch.randn(1, 1, *s, generator=random, dtype=torch.float64) for k, s in shapes.items()}
    momenta = {name: np.zeros((6, value.numel())) for name, value in params.items()}
    with torch.set_grad_enabled(graph):
        state = rule.init(params)
        for t in range(4):
            grads = {k: torch.randn(1, 1, *s, generator=random, dtype=torch.float64) for k, s in shapes.items()}
            updates, state = rule.update(grads, state, params)
            for name in shapes:
                g, p = grads[name].flatten().numpy(), params[name].flatten().numpy()
                for k, beta in enumerate(BETAS):
                    momenta[name][k] = beta * momenta[name][k] + (1 - beta) * g
                for j in range(len(g)):
                    features = [values[j] / root_mean_square(values) for values in (g, p, *momenta[name])]
                    x = np.array([*features, *(math.tanh(t / tau - 1) for tau in TIMES)])
                    x = np.maximum(phi["layer0.weight"] @ x + phi["layer0.bias"], 0)
                    x = np.maximum(phi["layer1.weight"] @ x + phi["layer1.bias"], 0)
                    direction, magnitude = phi["layer2.weight"] @ x + phi["layer2.bias"]
                    expected = -0.001 * direction * math.exp(0.1 * magnitude)
                    assert float(updates[name].flatten()[j]) == pytest.approx(expected, rel=1e-9, abs=1e-15)
            params = {name: value + updates[name].detach() for name, value in params.items()}


def test_it_has_the_papers_nineteen_inputs_and_two_outputs() -> None:
    shapes = MLP().network_shapes()
    assert shapes["layer0.weight"] == (32, 19)
    assert shapes["layer2.weight"] == (2, 32)


def test_the_scale_of_a_large_gradient_does_not_matter() -> None:
    rule = MLP().initialised(torch.Generator().manual_seed(0))
    params = {"x": torch.ones(1, 1, 5, dtype=torch.float64)}
    grad = torch.linspace(1, 3, 5, dtype=torch.float64)[None, None] * 1e4
    with torch.no_grad():
        one, _ = rule.update({"x": grad}, rule.init(params), params)
        ten, _ = rule.update({"x": 10 * grad}, rule.init(params), params)
    torch.testing.assert_close(one["x"], ten["x"], rtol=1e-4, atol=1e-9)
