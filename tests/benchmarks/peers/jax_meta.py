"""Meta-training in JAX: the LSTM over all coordinates, a scan over the steps, grad through it, jit around it all."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch

from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task, Tensors


def jax_meta_gradient(rule: LSTM, task: Task, start: Tensors, batches: list[Tensors], seeds: int) -> Callable[[], Any]:
    """A call that gives the meta-gradient of the mean over `seeds` of the mean loss, by the names of `LSTM`."""
    phi = {name: jnp.asarray(value.numpy()) for name, value in rule.meta_parameters.items()}
    theta, steps = to_jax(start, batches)

    def objective(phi: Any, theta: Any, steps: Any) -> Any:
        return unroll(rule, task, phi, theta, steps).mean() / seeds

    # ∂∇f/∂φ is dropped: the gradient that enters the rule is a constant.
    program = jax.jit(jax.grad(objective))

    def run() -> dict[str, torch.Tensor]:
        return {
            name: torch.from_dlpack(value.block_until_ready()) for name, value in program(phi, theta, steps).items()
        }

    return run


def unroll(rule: LSTM, task: Task, phi: Any, theta: Any, steps: Any) -> Any:
    """The sum of the losses of all functions after each step, `[steps]`; gradients enter the rule as constants."""
    loss = _quadratics if task.name == "quadratic" else _perceptrons

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        theta, state, grad = carry
        moves, state = lstm_update(rule, phi, jax.lax.stop_gradient(grad), state)
        theta = _plus(theta, moves)
        value, grad = jax.value_and_grad(loss)(theta, batch)
        return (theta, state, _flat(grad)), value

    first = {name: value[0] for name, value in steps.items()}
    grad = _flat(jax.grad(loss)(theta, first))
    zeros = jnp.zeros((rule.hidden, grad.size))
    later = {name: value[1:] for name, value in steps.items()}
    return jax.lax.scan(step, (theta, [(zeros, zeros)] * rule.layers, grad), later)[1]


def to_jax(start: Tensors, batches: list[Tensors]) -> tuple[Any, Any]:
    """Initial parameters, and the minibatches of all steps stacked."""
    theta = {name: jnp.asarray(value.contiguous().numpy()) for name, value in start.items()}
    return theta, {name: jnp.stack([jnp.asarray(batch[name].numpy()) for batch in batches]) for name in batches[0]}


def lstm_update(rule: LSTM, phi: Any, grad: Any, state: Any) -> tuple[Any, Any]:
    """The updates of all coordinates `[n]`, and the state of each layer after them."""
    x, following = _preprocess(rule, grad), []
    for k, (h, c) in enumerate(state):
        gates = phi[f"lstm{k}.weight"] @ jnp.concatenate([x, h]) + phi[f"lstm{k}.bias"][:, None]
        i, f, o, candidate = jnp.split(gates, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(candidate)
        x = jax.nn.sigmoid(o) * jnp.tanh(c)
        following.append((x, c))
    return rule.output_scale * (phi["output.weight"] @ x + phi["output.bias"])[0], following


def _preprocess(rule: LSTM, grad: Any) -> Any:
    if rule.preprocessing == "none":
        return grad[None]
    threshold = math.exp(-rule.p)
    large = jnp.abs(grad) >= threshold
    rows = [
        jnp.where(large, jnp.log(jnp.maximum(jnp.abs(grad), threshold)) / rule.p, -1.0),
        jnp.where(large, jnp.sign(grad), grad / threshold),
    ]
    return jnp.stack([*rows, grad * math.exp(rule.p / 2)] if rule.preprocessing == "log-linear" else rows)


def _flat(params: Any) -> Any:
    return jnp.concatenate([value.ravel() for value in params.values()])


def _plus(params: Any, moves: Any) -> Any:
    moved, first = {}, 0
    for name, value in params.items():
        moved[name] = value + moves[first : first + value.size].reshape(value.shape)
        first += value.size
    return moved


def _quadratics(params: Any, batch: Any) -> Any:
    return ((jnp.einsum("sij,sj->si", batch["w"], params["theta"]) - batch["y"]) ** 2).sum()


def _perceptrons(params: Any, batch: Any) -> Any:
    h = jax.nn.sigmoid(batch["x"] @ params["w0"].swapaxes(1, 2) + params["b0"][:, None])
    log_p = jax.nn.log_softmax(h @ params["w1"].swapaxes(1, 2) + params["b1"][:, None])
    return -(log_p * batch["y"]).sum(2).mean(1).sum()
