"""The compiled peer: JAX and optax, nested vmap over seeds and rates, scan over the steps, jit around it all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import torch

from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.tasks.base import Task
from l2obench.tasks.data.digits import digits
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic


def jax_matrix(task: Task, seeds: list[int], rates: list[float], jit: bool = True) -> Callable[[], torch.Tensor]:
    """A call that gives losses `[seeds, rates, steps + 1]` of Adam, on the rollout's functions and minibatches."""
    program, arguments = _quadratics(task, seeds) if isinstance(task, Quadratic) else _perceptrons(task, seeds)
    over_rates = jax.vmap(program, (*[None] * len(arguments), 0))
    over_seeds = jax.vmap(over_rates, (*[0] * len(arguments), None))
    run = jax.jit(over_seeds) if jit else over_seeds
    learning_rates = jnp.asarray(rates)
    return lambda: torch.from_dlpack(run(*arguments, learning_rates).block_until_ready())


def _adam(loss: Callable[..., Any], start: Any, batches: Any, rate: Any) -> Any:
    """The losses of one replica; `batches` is what each step sees, by step."""
    optimizer = optax.adam(rate)

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, batch)
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, updates), state), value

    first = (start, optimizer.init(start))
    return jax.lax.scan(step, first, batches)[1]


def _quadratics(task: Quadratic, seeds: list[int]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    problems = [task.sample(generator(seed)) for seed in seeds]
    steps = jnp.arange(task.horizon + 1)

    def program(w: Any, y: Any, theta: Any, rate: Any) -> Any:
        return _adam(lambda theta, _: ((w @ theta - y) ** 2).sum(), theta, steps, rate)

    parts = [[problem.data["w"] for problem in problems], [problem.data["y"] for problem in problems]]
    parts.append([problem.params["theta"] for problem in problems])
    return program, tuple(jnp.asarray(torch.stack(part).numpy()) for part in parts)


def _perceptrons(task: Task, seeds: list[int]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    assert isinstance(task, MnistMlp)
    data = digits(task.data, "train")
    images, labels = jnp.asarray(data.inputs.numpy()), jnp.asarray(data.labels.numpy())
    starts, indices = [], []
    for seed in seeds:
        random = generator(seed)
        starts.append(task.sample(random).params)
        blocks = [task.draw(random, DRAW_STEPS)["index"] for _ in range(task.horizon // DRAW_STEPS + 1)]
        indices.append(torch.cat(blocks)[: task.horizon + 1])

    def loss(params: Any, index: Any) -> Any:
        h = jax.nn.sigmoid(images[index] @ params["w0"].T + params["b0"])
        log_p = jax.nn.log_softmax(h @ params["w1"].T + params["b1"])
        return -jnp.take_along_axis(log_p, labels[index][:, None], 1).mean()

    stacked = {name: jnp.asarray(torch.stack([start[name] for start in starts]).numpy()) for name in starts[0]}
    return lambda start, index, rate: _adam(loss, start, index, rate), (stacked, jnp.asarray(torch.stack(indices)))
