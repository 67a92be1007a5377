"""adafac-mlp and STAR: their formulas, worked out in numpy coordinate by coordinate."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.star import STAR
from l2obench.tasks.quadratic import Quadratic

DOUBLE = torch.float64
TIMES = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000]
SHAPES: dict[str, tuple[int, ...]] = {"tall": (4, 3), "wide": (2, 5), "kernel": (3, 2, 3), "bias": (4,), "scalar": ()}
# Which dimension of each is the largest and which the second largest.
LARGEST = {"tall": (0, 1), "wide": (1, 0), "kernel": (2, 0)}


def trained(cls: type[AdafacMLP] = AdafacMLP, **fields: Any) -> AdafacMLP:
    """Random meta-parameters in float64, biases and decays too."""
    random = torch.Generator().manual_seed(3)
    rule = cls(magnitude_scale=0.1, **fields).initialised(random)
    phi = {name: value.double() for name, value in rule.meta_parameters.items()}
    for name, value in phi.items():
        if not name.endswith("weight"):
            phi[name] = value + 0.02 * torch.randn(value.shape, generator=random, dtype=DOUBLE)
    return rule.with_meta_parameters(phi)


class Reference:
    """One parameter tensor's accumulators and features, by loops over indices."""

    def __init__(self, rule: AdafacMLP, name: str) -> None:
        phi = {key: value.numpy() for key, value in rule.meta_parameters.items()}
        offset = np.exp(10 * phi["momentum_decays"])
        self.beta = 1 - np.array([0.1, 0.01, 0.001]) * offset
        self.beta_square = 1 - 0.001 * math.exp(10 * float(phi["square_decay"]))
        self.beta_factored = 1 - np.array([0.1, 0.01, 0.001]) * np.exp(10 * phi["factored_decays"])
        self.phi, self.rule, self.name, self.shape = phi, rule, name, SHAPES[name]
        self.m = np.zeros((3, *self.shape))
        self.v = np.zeros(self.shape)
        self.row: dict[Any, float] = {}
        self.column: dict[Any, float] = {}

    def update(self, g: np.ndarray, p: np.ndarray, step: int) -> np.ndarray:
        indices = list(itertools.product(*map(range, self.shape)))
        for i in indices:
            self.v[i] = self.beta_square * self.v[i] + (1 - self.beta_square) * g[i] ** 2
            for k in range(3):
                self.m[(k, *i)] = self.beta[k] * self.m[(k, *i)] + (1 - self.beta[k]) * g[i]
        for k, beta in enumerate(self.beta_factored):
            for i in indices:
                for kept, other in ((self.row, 0), (self.column, 1)):
                    alike = [j for j in indices if self.same(i, j, other)]
                    mean = sum(g[j] ** 2 + 1e-30 for j in alike) / len(alike)
                    kept[k, i, "new"] = beta * kept.get((k, i), 0) + (1 - beta) * mean
        for kept in (self.row, self.column):
            for k, i in itertools.product(range(3), indices):
                kept[k, i] = kept.pop((k, i, "new"))
        table = np.array([self.features(g, p, i, indices) for i in indices])
        table = table / np.sqrt((table**2).mean(0) + 1e-5)
        time = [math.tanh(step / tau - 1) for tau in TIMES]
        moves = [self.network(np.array([*row, *time]), i) for row, i in zip(table, indices, strict=True)]
        return np.array(moves).reshape(self.shape)

    def same(self, i: Any, j: Any, which: int) -> bool:
        """Whether two coordinates differ along one factored dimension only; of a vector, whether they are one."""
        if self.name not in LARGEST:
            return bool(i == j)
        dimension = LARGEST[self.name][which]
        return all(a == b for d, (a, b) in enumerate(zip(i, j, strict=True)) if d != dimension)

    def features(self, g: np.ndarray, p: np.ndarray, i: Any, indices: list[Any]) -> list[float]:
        root = 1 / math.sqrt(self.v[i] + 1e-6)
        m = [self.m[(k, *i)] for k in range(3)]
        rows, columns = [self.row[k, i] for k in range(3)], [self.column[k, i] for k in range(3)]
        of_g, of_m = [], []
        for k in range(3):
            if self.name in LARGEST:
                alike = [j for j in indices if self.same(i, j, 1)]  # a row of rows
                mean = sum(self.row[k, j] for j in alike) / len(alike)
                s = max(rows[k] / (mean + 1e-9), 1e-9) ** -0.5 * max(columns[k], 1e-9) ** -0.5
                of_g.append(g[i] * s)
                of_m.append(m[k] * s)
            else:
                of_g.append(g[i] / math.sqrt(rows[k] + 1e-9))
                of_m.append(m[k] / math.sqrt(rows[k] + 1e-6))
        return [
            *(g[i], p[i], *m, self.v[i], *(value * root for value in m), root, *of_g, *rows, *columns),
            *((value + 1e-8) ** -0.5 for value in (*rows, *columns)),
            *of_m,
        ]

    def network(self, x: np.ndarray, i: Any) -> float:
        for k in range(2):
            x = np.maximum(self.phi[f"layer{k}.weight"] @ x + self.phi[f"layer{k}.bias"], 0)
        outputs = self.phi["layer2.weight"] @ x + self.phi["layer2.bias"]
        own = 0.001 * outputs[0] * math.exp(0.1 * outputs[1])
        if not isinstance(self.rule, STAR):
            return -own
        root = 1 / math.sqrt(self.v[i] + 1e-6)
        nominal = sum(self.m[(k, *i)] * root for k in range(3)) / 3
        return -(0.01 * math.exp(0.1 * outputs[2]) * nominal + own * root)


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "no graph"])
@pytest.mark.parametrize("rule", [trained(), trained(STAR, nominal_size=0.01)], ids=lambda rule: rule.name)
def test_updates_are_the_formula(rule: AdafacMLP, graph: bool) -> None:
    random = torch.Generator().manual_seed(0)
    params = {name: torch.randn(1, 1, *s, generator=random, dtype=DOUBLE) for name, s in SHAPES.items()}
    references = {name: Reference(rule, name) for name in SHAPES}
    with torch.set_grad_enabled(graph):
        state = rule.init(params)
        for step in range(4):
            grads = {name: torch.randn(1, 1, *s, generator=random, dtype=DOUBLE) for name, s in SHAPES.items()}
            updates, state = rule.update(grads, state, params)
            for name, reference in references.items():
                expected = reference.update(grads[name][0, 0].numpy(), params[name][0, 0].numpy(), step)
                found = updates[name][0, 0].detach().numpy()
                np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-13, err_msg=f"{name} at {step}")
            params = {name: value + updates[name].detach() for name, value in params.items()}


def test_it_has_the_papers_39_inputs_and_197_meta_parameters() -> None:
    shapes = AdafacMLP().network_shapes()
    assert shapes["layer0.weight"] == (4, 39)
    assert sum(math.prod(shape) for shape in shapes.values()) == 39 * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2 + 7


def test_decays_begin_at_the_papers_and_second_moments_stay_positive_at_any() -> None:
    params = {"x": torch.zeros(1, 1, 3, 2, dtype=DOUBLE)}
    grads = {"x": torch.ones(1, 1, 3, 2, dtype=DOUBLE)}
    rule = AdafacMLP().initialised(torch.Generator().manual_seed(0))
    _, state = rule.update(grads, rule.init(params), params)
    expected = torch.tensor([0.1, 0.01, 0.001], dtype=DOUBLE)
    torch.testing.assert_close(state["of"]["x"]["momenta"][:, 0, 0, 0, 0], expected)
    torch.testing.assert_close(state["of"]["x"]["rows"].flatten(1).mean(1), expected)
    wild = {name: value + (0 if "layer" in name else 9.0) for name, value in rule.meta_parameters.items()}
    rule = rule.with_meta_parameters(wild)
    _, state = rule.update(grads, rule.init(params), params)
    torch.testing.assert_close(state["of"]["x"]["square"], grads["x"] ** 2)


def test_without_its_network_star_is_its_nominal_optimizer() -> None:
    """Outputs of zero leave α · mean over β of m / √(v + 1e-6): a descent, whatever the gradient's scale."""
    rule = trained(STAR, nominal_size=0.03)
    phi = {name: value * 0 if name.startswith("layer2") else value for name, value in rule.meta_parameters.items()}
    rule = rule.with_meta_parameters(phi)
    found = rollout(Quadratic(horizon=100), rule, [1, 2, 3], dtype=DOUBLE)
    assert (found.losses[..., -1] < 0.5 * found.losses[..., 0]).all()


@pytest.mark.parametrize("rule", [trained(), trained(STAR)], ids=lambda rule: rule.name)
def test_second_order_meta_gradient_is_the_derivative(rule: AdafacMLP) -> None:
    """Along a random direction, by finite differences; the first-order one has every meta-parameter in it."""
    task, weights = Quadratic(dim=3, horizon=4), torch.ones(4, dtype=DOUBLE)

    def objective(shift: float) -> float:
        moved = {name: value + shift * direction[name] for name, value in rule.meta_parameters.items()}
        problems = Problems(task, [1, 2], dtype=DOUBLE)
        with torch.no_grad():
            carry = start(problems, rule.with_meta_parameters(moved))
        found = second_order_bptt(problems, rule.with_meta_parameters(moved), carry, weights)
        return float((found.losses * weights).sum(-1).mean())

    problems = Problems(task, [1, 2], dtype=DOUBLE)
    grads = second_order_bptt(problems, rule, start(problems, rule), weights).meta_grads
    random = torch.Generator().manual_seed(5)
    direction = {name: torch.randn(value.shape, generator=random, dtype=DOUBLE) for name, value in grads.items()}
    slope = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    assert slope == pytest.approx((objective(1e-5) - objective(-1e-5)) / 2e-5, rel=1e-4)
    problems = Problems(task, [1, 2], dtype=DOUBLE)
    with torch.no_grad():
        carry = start(problems, rule)
    first = truncated_bptt(problems, rule, carry, weights).meta_grads
    assert all(grad.abs().max() > 0 for grad in first.values())
