"""The same models in JAX: vmap over seeds, a scan over the steps of `optax.adam`, jit around it all."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import torch

from l2obench.bench.rollout.problems import Problems
from l2obench.tasks.autoencoder import Autoencoder
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.transformer import CharTransformer

Params = Mapping[str, Any]
EPSILON = 1e-5  # of torch's batch norm and layer norm


def jax_modules(task: Task, seeds: list[int], rate: float) -> Callable[[], torch.Tensor]:
    """A call that gives losses `[seeds, steps + 1]` of Adam. Minibatches are gathered before, off the clock."""
    problems = Problems(task, seeds)
    start = {name: jnp.asarray(value.numpy()) for name, value in problems.start.items()}
    found = problems.minibatches(task.horizon + 1)
    batches = {name: jnp.asarray(value.transpose(0, 1).numpy()) for name, value in found.items() if name != "noise"}
    loss, optimizer = _loss_of(task), optax.adam(rate)

    def program(params: Any, steps: Any) -> Any:
        def step(carry: Any, batch: Any) -> tuple[Any, Any]:
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, batch)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), steps)[1]

    run = jax.jit(jax.vmap(program))
    return lambda: torch.from_dlpack(run(start, batches).block_until_ready())


def _loss_of(task: Task) -> Callable[[Params, Params], Any]:
    if isinstance(task, CharTransformer):
        return lambda params, batch: _transformer(task, params, batch["text"])
    if isinstance(task, Autoencoder):
        return _autoencoder
    if isinstance(task, CifarCnn):
        return _cifar
    return {"perceptron": _perceptron}.get(task.name, _convolutional)


def _cross_entropy(scores: Any, classes: Any) -> Any:
    log_p = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(log_p, classes[..., None], -1).mean()


def _perceptron(params: Params, batch: Params) -> Any:
    h = jax.nn.relu(batch["batch[0]"] @ params["0.weight"].T + params["0.bias"])
    return _cross_entropy(h @ params["2.weight"].T + params["2.bias"], batch["batch[1]"])


def _convolutional(params: Params, batch: Params) -> Any:
    h = batch["batch[0]"]
    for k in (0, 3):
        h = jax.nn.relu(_batch_norm(_convolution(h, params[f"{k}.weight"]), params, f"{k + 1}.weight", f"{k + 1}.bias"))
    return _cross_entropy(h.mean((2, 3)) @ params["8.weight"].T + params["8.bias"], batch["batch[1]"])


def _cifar(params: Params, batch: Params) -> Any:
    h = batch["x"]
    for k in range(3):
        z = _batch_norm(_convolution(h, params[f"conv{k}.weight"]), params, f"conv{k}.gain", f"conv{k}.shift")
        h = jax.lax.reduce_window(jax.nn.relu(z), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    h = jax.nn.relu(h.reshape(len(h), -1) @ params["fc0.weight"].T + params["fc0.bias"])
    return _cross_entropy(h @ params["fc1.weight"].T + params["fc1.bias"], batch["y"])


def _convolution(x: Any, weight: Any) -> Any:
    return jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))


def _batch_norm(z: Any, params: Params, gain: str, shift: str) -> Any:
    mean, variance = z.mean((0, 2, 3), keepdims=True), z.var((0, 2, 3), keepdims=True)
    normal = (z - mean) * jax.lax.rsqrt(variance + EPSILON)
    return normal * params[gain][:, None, None] + params[shift][:, None, None]


def _autoencoder(params: Params, batch: Params) -> Any:
    h = batch["x"]
    for k in range(4):
        h = h @ params[f"w{k}"].T + params[f"b{k}"]
        h = jax.nn.relu(h) if k < 3 else jax.nn.sigmoid(h)
    return jnp.square(h - batch["x"]).mean()


def _transformer(task: CharTransformer, params: Params, text: Any) -> Any:
    h = params["embed.characters"][text[:, :-1]] + params["embed.places"]
    future = jnp.triu(jnp.full((task.context, task.context), -jnp.inf), 1)
    for k in range(task.layers):
        block = f"attention{k}"
        qkv = _layer_norm(h, params, block) @ params[f"{block}.qkv"].T + params[f"{block}.qkv_bias"]
        q, key, v = qkv.reshape(*h.shape[:2], 3, task.heads, -1).transpose(2, 0, 3, 1, 4)
        weights = jax.nn.softmax(q @ key.swapaxes(2, 3) / (task.width / task.heads) ** 0.5 + future)
        mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(h.shape)
        h = h + mixed @ params[f"{block}.out"].T + params[f"{block}.out_bias"]
        block = f"mlp{k}"
        inner = _layer_norm(h, params, block) @ params[f"{block}.in"].T + params[f"{block}.in_bias"]
        h = h + jax.nn.gelu(inner, approximate=False) @ params[f"{block}.out"].T + params[f"{block}.out_bias"]
    scores = _layer_norm(h, params, "head") @ params["head.weight"].T + params["head.bias"]
    return _cross_entropy(scores, text[:, 1:])


def _layer_norm(h: Any, params: Params, part: str) -> Any:
    mean, variance = h.mean(-1, keepdims=True), h.var(-1, keepdims=True)
    return (h - mean) * jax.lax.rsqrt(variance + EPSILON) * params[f"{part}.gain"] + params[f"{part}.shift"]
