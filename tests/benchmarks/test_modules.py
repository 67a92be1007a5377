"""A `ModuleTask` against the plain loop of PyTorch: one replica after the other, and many together."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import make_buffers
from l2obench.tasks.module import ModuleTask, make_module_task

PLAIN = "plain loop of modules"
STEPS = 20


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutional() -> nn.Module:
    def block(inputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]

    return nn.Sequential(*block(3), *block(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def make_task(kind: str) -> ModuleTask:
    model, shape = (perceptron, (64,)) if kind == "perceptron" else (convolutional, (3, 16, 16))
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, *shape, generator=random), torch.randint(10, (256,), generator=random)
    return make_module_task(
        kind, model=model, data=(x, y), loss=lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1])
    )


def evaluations(task: ModuleTask, seeds: list[int], steps: int) -> Tensor:
    """Losses and gradients of all replicas at their starts, step by step: what a step costs besides its update."""
    problems = Problems(task, seeds)
    params = {name: value.unsqueeze(1) for name, value in problems.start.items()}
    buffers, losses = make_buffers(problems), []
    for _ in range(steps):
        found, _, buffers = problems.loss_grad_and_buffers(params, buffers)
        losses.append(found[:, 0])
    return torch.stack(losses, 1)


def plain(task: ModuleTask, seeds: list[int], steps: int) -> Tensor:
    """The same by one module a seed, `backward` and nothing of ours but the minibatches."""
    losses = []
    for seed in seeds:
        problems = Problems(task, [seed])
        model = task.make_model()
        model.load_state_dict({name: value[0] for name, value in {**problems.start, **problems.buffers}.items()})
        parameters = list(model.parameters())
        for _ in range(steps):
            batch = problems.minibatch()
            for parameter in parameters:
                parameter.grad = None
            with torch.enable_grad():
                loss = functional.cross_entropy(model(batch["batch[0]"][0]), batch["batch[1]"][0])
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
    return torch.stack(losses).view(len(seeds), steps)


@pytest.mark.parametrize(
    ("kind", "seeds", "bar"),
    [
        ("perceptron", 1, "≥ 0.77"),
        ("perceptron", 20, "≥ 1"),
        ("convolutional", 1, "≥ 0.77"),
        ("convolutional", 4, "≥ 0.77"),
    ],
)
def test_modules(race: Callable[..., Any], full: bool, kind: str, seeds: int, bar: str) -> None:
    task, numbers, steps = make_task(kind), list(range(seeds)), STEPS if full else 3
    with torch.no_grad():
        results = race(
            f"ModuleTask, {kind}, {seeds} × {steps} steps",
            lambda: evaluations(task, numbers, steps),
            {PLAIN: lambda: plain(task, numbers, steps)},
            {PLAIN: (bar, "")},
        )
    torch.testing.assert_close(results["ours"], results[PLAIN], rtol=1e-4, atol=1e-5)
