"""Persistent evolution strategies in JAX: vmap over all perturbations, a scan over the steps, jit around it all.

The method of Vicol et al. 2021, algorithm 2, vectorised over particles as in learned_optimization; written anew here.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch

from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task, Tensors
from tests.benchmarks.peers.jax_meta import to_jax, unroll


def jax_pes(
    rule: LSTM, task: Task, start: Tensors, batches: list[Tensors], noise: Tensors, sigma: float
) -> Callable[[], dict[str, torch.Tensor]]:
    """A call that gives the meta-gradient of a first segment, by the names of `LSTM`; `noise` is `[pairs, ...]`."""
    phi = {name: jnp.asarray(value.numpy()) for name, value in rule.meta_parameters.items()}
    theta, steps = to_jax(start, batches)
    functions = len(next(iter(start.values())))
    drawn = {name: jnp.asarray(value.numpy()) for name, value in noise.items()}
    before = {name: jnp.zeros_like(value) for name, value in drawn.items()}

    def estimate(phi: Any, drawn: Any, before: Any, theta: Any, steps: Any) -> Any:
        perturbed = {
            name: jnp.concatenate([value + sigma * drawn[name], value - sigma * drawn[name]])
            for name, value in phi.items()
        }
        losses = jax.vmap(lambda phi: unroll(rule, task, phi, theta, steps).mean())(perturbed)
        positive, negative = jnp.split(losses, 2)
        slopes = (positive - negative) / (2 * sigma * functions * len(positive))
        total = {name: before[name] + value for name, value in drawn.items()}
        return {name: jnp.tensordot(slopes, value, axes=1) for name, value in total.items()}

    program = jax.jit(estimate)

    def run() -> dict[str, torch.Tensor]:
        found = program(phi, drawn, before, theta, steps)
        return {name: torch.from_dlpack(value.block_until_ready()) for name, value in found.items()}

    return run
