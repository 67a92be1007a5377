"""Celo, Celo-Adam and Celo2 in numpy, tensor by tensor, from the formulas of their authors and in their layout.

Matrices are [inputs, outputs] and filters [height, width, inputs, outputs]; one model, no replicas. Written for tests:
plain loops, nothing shared with the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
DECAYS = np.array([0.9, 0.99, 0.999])


def rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


@dataclass
class Memory:
    """What is remembered of a tensor: three momenta, v, and three times the factors or w."""

    momenta: Array
    v: Array
    rows: Array
    columns: Array


def remember(shape: tuple[int, ...]) -> Memory:
    zeros = np.zeros(shape)
    if len(shape) < 2:
        return Memory(np.stack([zeros] * 3), zeros, np.stack([zeros] * 3), np.stack([zeros] * 3))
    largest, second = largest_two(shape)
    rows, columns = zeros.mean(largest, keepdims=True), zeros.mean(second, keepdims=True)
    return Memory(np.stack([zeros] * 3), zeros, np.stack([rows] * 3), np.stack([columns] * 3))


def largest_two(shape: tuple[int, ...]) -> tuple[int, int]:
    order = np.argsort(shape, kind="stable")
    return int(order[-1]), int(order[-2])


def features(g: Array, theta: Array, memory: Memory, v_decay: float, epsilon: float) -> Array:
    """Thirty numbers a coordinate, `[30, ...]`; the memory is brought up to date first."""
    for k, beta in enumerate(DECAYS):
        memory.momenta[k] = beta * memory.momenta[k] + (1 - beta) * g
    memory.v = v_decay * memory.v + (1 - v_decay) * g**2
    squared = g**2 + 1e-30
    of_grad, of_momenta = [], []
    for k, beta in enumerate(DECAYS):
        if g.ndim < 2:
            w = memory.rows[k] = memory.columns[k] = beta * memory.rows[k] + (1 - beta) * squared
            of_grad.append(rsqrt(np.maximum(w + 1e-9, 1e-9)))
            of_momenta.append(w**-0.5)
            continue
        largest, second = largest_two(g.shape)
        memory.rows[k] = beta * memory.rows[k] + (1 - beta) * squared.mean(largest, keepdims=True)
        memory.columns[k] = beta * memory.columns[k] + (1 - beta) * squared.mean(second, keepdims=True)
        r, c = memory.rows[k], memory.columns[k]
        factor = rsqrt(np.maximum(r / (r.mean(second, keepdims=True) + 1e-9), 1e-9)) * rsqrt(np.maximum(c, 1e-9))
        of_grad.append(factor)
        of_momenta.append(factor)
    q = rsqrt(memory.v + epsilon)
    wide = [np.broadcast_to(x, (3, *g.shape)) for x in (memory.rows, memory.columns)]
    groups = [
        g[None],
        np.clip(g, -0.1, 0.1)[None],
        theta[None],
        memory.momenta,
        memory.v[None],
        memory.momenta * q,
        q[None],
        np.stack([g * s for s in of_grad]),
        (g * q)[None],
        wide[0],
        wide[1],
        rsqrt(wide[0] + 1e-8),
        rsqrt(wide[1] + 1e-8),
        np.stack([m * s for m, s in zip(memory.momenta, of_momenta, strict=True)]),
    ]
    return np.concatenate(groups)


def network(x: Array, layers: list[tuple[Array, Array]]) -> Array:
    """ReLU perceptron on the first axis; weights `[outputs, inputs]`."""
    for k, (weight, bias) in enumerate(layers):
        x = np.maximum(x, 0) if k else x
        x = np.tensordot(weight, x, 1) + bias.reshape(-1, *[1] * (x.ndim - 1))
    return x


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@dataclass
class Schedule:
    """ρ of Celo, from time and loss. `phi` has our names; its gates are input, forget, output, candidate."""

    phi: dict[str, Array]
    horizon: int
    hidden: Array = field(init=False)
    cell: Array = field(init=False)
    raw: Array = field(default_factory=lambda: np.zeros(10))
    lowest: Array = field(default_factory=lambda: np.full(10, np.inf))
    level: Array = field(default_factory=lambda: np.zeros(10))
    done: int = 0

    def __post_init__(self) -> None:
        self.hidden, self.cell = self.phi["initial.hidden"], self.phi["initial.cell"]

    def factor(self, loss: float) -> float:
        n = self.done + 1
        decays = np.exp(-1 / np.geomspace(10, self.horizon, 10))
        if n > 1:
            # The averages of the step before, over the total weight that they would have in this one.
            loss = min(loss, 2 * abs(np.max(self.raw / (1 - decays**n))))
        self.raw = decays * self.raw + (1 - decays) * loss
        self.level = self.raw / (1 - decays**n)
        self.lowest = np.minimum(self.lowest, self.level)
        relative = (self.level[:-1] - self.lowest[:-1]) / np.maximum(self.level[1:] - self.lowest[:-1], 1e-8) - 1
        of_loss = np.clip(relative, -1, 1) * (n > 2)
        times = np.array([0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1])
        x = np.concatenate([np.tanh(10 * (self.done / self.horizon - times)), of_loss])
        phi = self.phi
        z = phi["input.weight"] @ x + phi["input.bias"]
        z = z + np.maximum(phi["shared.weight"] @ x + phi["shared.bias"], 0)
        gates = phi["lstm.weight"] @ np.concatenate([z, self.hidden]) + phi["lstm.bias"]
        i, f, o, candidate = np.split(gates, 4)
        self.cell = sigmoid(f) * self.cell + sigmoid(i) * np.tanh(candidate)
        self.hidden = sigmoid(o) * np.tanh(self.cell)
        self.done = n
        return float(0.1 * np.exp(phi["rate.weight"] @ self.hidden + phi["rate.bias"])[0])


def layers_of(phi: dict[str, Array]) -> list[tuple[Array, Array]]:
    return [(phi[f"layer{k}.weight"], phi[f"layer{k}.bias"]) for k in range(3)]


def celo_step(phi: dict[str, Array], theta: Array, g: Array, memory: Memory, rho: float) -> Array:
    """The update of one tensor."""
    x = features(np.clip(g, -1000, 1000), theta, memory, 0.999, 1e-6)
    x = np.stack([row * rsqrt(np.mean(row**2) + 1e-5) for row in x])
    d, a = network(x, layers_of(phi))
    return -rho * 0.001 * np.sqrt(np.mean(theta**2) + 1e-9) * d * np.exp(0.001 * a)


@dataclass
class Moments:
    """Adam's, and the count of steps."""

    m: Array
    v: Array
    step: int = 0

    def direction(self, g: Array, beta1: float, beta2: float, denominator: Callable[[Array], Array]) -> Array:
        self.step += 1
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        return self.m / (1 - beta1**self.step) / denominator(self.v / (1 - beta2**self.step))


def celo2_direction(phi: dict[str, Array], theta: Array, g: Array, memory: Memory, orthogonal: bool) -> Array:
    """D of one tensor: root mean squares over the last two axes, Newton–Schulz on each of their matrices."""
    axes = (-2, -1) if g.ndim >= 2 else None
    x = features(np.clip(g, -1000, 1000), theta, memory, 0.95, 1e-8)
    if g.ndim < 2:
        x[15:] = 0
    x = np.stack([row * rsqrt(np.mean(row**2, axes, keepdims=True) + 1e-9) for row in x])
    d = network(x, layers_of(phi))[0]
    if orthogonal:
        flat = d.reshape(-1, *d.shape[-2:])
        d = np.stack([newton_schulz(matrix) for matrix in flat]).reshape(d.shape)
    return d * rsqrt(np.mean(d**2, axes, keepdims=True) + 1e-9)


def newton_schulz(m: Array) -> Array:
    tall = m.shape[0] > m.shape[1]
    x = m.T if tall else m
    x = x / (np.linalg.norm(x) + 1e-8)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


def celo2_steps(phi: Any, params: dict[str, Any], base: bool = False, most: float = np.inf) -> Any:
    """Celo2 at a rate of 0.02 and a decay of 0.1, from gradients that are clipped to a common norm."""
    memory = {name: remember(value.shape) for name, value in params.items()}
    moments = {name: Moments(0 * value, 0 * value) for name, value in params.items()}

    def move(name: str, theta: Any, g: Any) -> Any:
        if base or (theta.ndim >= 2 and name != "embedding"):
            direction, rate = celo2_direction(phi, theta, g, memory[name], orthogonal=not base), 0.02
        else:
            g = np.clip(g, -1000, 1000)
            direction, rate = moments[name].direction(g, 0.9, 0.95, lambda v: np.sqrt(v) + 1e-8), 0.4
        return -rate * (direction + 0.1 * theta)

    def step(_: int, params: dict[str, Any], grads: dict[str, Any], loss: float) -> dict[str, Any]:
        found = clipped_to_norm(grads, most)
        return {name: move(name, theta, found[name]) for name, theta in params.items()}

    return step


def clipped_to_norm(grads: dict[str, Any], most: float) -> dict[str, Any]:
    """Gradients scaled so that their common norm is at most `most`."""
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    return {name: g * (most / norm if norm > most else 1.0) for name, g in grads.items()}


# Of the thirty features of Celo, in its order, without clip(g) and g / √v.
CHOSEN = [0, 2, *range(3, 14), *range(15, 30)]
TIMESCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def small_fc_direction(phi: dict[str, Any], theta: Any, g: Any, memory: Memory, step: int) -> Any:
    """d · exp(0.001 a) of the perceptron of Metz et al. 2022, on 28 features and 11 of time."""
    x = features(g, theta, memory, 0.999, 1e-6)[CHOSEN]
    if g.ndim < 2:
        x[-3:] = memory.momenta * rsqrt(memory.rows + 1e-6)
    x = np.stack([row * rsqrt(np.mean(row**2) + 1e-5) for row in x])
    time = [np.full(g.shape, np.tanh(step / scale - 1)) for scale in TIMESCALES]
    d, a = network(np.concatenate([x, np.stack(time)]), layers_of(phi))
    return d * np.exp(0.001 * a)
