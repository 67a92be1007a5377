"""Replicas of networks, `ModuleTask`s and families: against a loop over seeds with torch.optim, and JAX's vmap."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.memory import default_budget
from l2obench.optimizers.designed.adam import Adam
from l2obench.tasks.autoencoder import Autoencoder
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.module import ModuleTask, make_module_task
from l2obench.tasks.transformer import CharTransformer
from tests.benchmarks.peers import installed
from tests.benchmarks.peers.module_loop import module_loop

LOOP, JAX = "loop of torch.optim", "JAX + optax, vmap, jit"
RATE = 1e-3


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutional() -> nn.Module:
    def block(inputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]

    return nn.Sequential(*block(3), *block(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def module_task(name: str, model: Callable[[], nn.Module], shape: tuple[int, ...], batch: int = 32) -> ModuleTask:
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, *shape, generator=random), torch.randint(10, (256,), generator=random)
    return make_module_task(
        name,
        model=model,
        data=(x, y),
        loss=lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1]),
        batch=batch,
    )


TASKS: dict[str, Callable[[], Task]] = {
    "perceptron": lambda: module_task("perceptron", perceptron, (64,)),
    "convolutional, 4×4 pixels": lambda: module_task("small images", convolutional, (3, 4, 4), batch=8),
    "convolutional, 16×16 pixels": lambda: module_task("images", convolutional, (3, 16, 16)),
    "char-transformer": CharTransformer,
    "autoencoder": Autoencoder,
    "cifar-cnn[batch=32]": lambda: CifarCnn(batch=32),
}


@pytest.mark.parametrize(
    ("kind", "seeds", "steps", "loop", "vmap"),
    [
        ("perceptron", 1, 50, "≥ 0.77", ""),
        ("perceptron", 20, 20, "≥ 1", ""),
        ("convolutional, 4×4 pixels", 20, 10, "≥ 1", ""),
        ("convolutional, 16×16 pixels", 4, 5, "≥ 0.77", "≥ 1"),
        ("char-transformer", 4, 5, "≥ 0.91", ""),
        ("char-transformer", 20, 3, "≥ 1", ""),
        ("autoencoder", 20, 5, "≥ 1", ""),
        pytest.param("cifar-cnn[batch=32]", 4, 2, "≥ 1", "≥ 1", marks=pytest.mark.slow),
    ],
)
def test_replicas_of_networks(
    race: Callable[..., Any], full: bool, kind: str, seeds: int, steps: int, loop: str, vmap: str
) -> None:
    seeds, steps = (seeds, steps) if full else (min(seeds, 8), 2)
    task, numbers = TASKS[kind]().model_copy(update={"horizon": steps}), list(range(seeds))
    peers: dict[str, Any] = {LOOP: lambda: module_loop(task, numbers, RATE), JAX: None}
    if installed("jax", "optax"):
        from tests.benchmarks.peers.jax_modules import jax_modules

        peers[JAX] = jax_modules(task, numbers, RATE)
    options = RunOptions(memory=default_budget("cpu"))
    results = race(
        f"{kind}, {seeds} × {steps} steps",
        lambda: rollout(task, Adam(lr=RATE), numbers, evaluate=False, options=options).losses[:, 0],
        peers,
        {LOOP: (loop, ""), JAX: (vmap, "")},
        rounds=3,
    )
    for name in results.keys() - {"ours"}:
        torch.testing.assert_close(results["ours"], results[name], rtol=2e-3, atol=2e-3)
