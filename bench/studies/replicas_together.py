"""Replicas of networks together by `torch.vmap`, or one after the other: what the rule over sizes was made from.

`python -m l2obench.bench.studies.replicas_together --to docs/replicas_together.csv` has a row for each model and number
of replicas. The rule is in `l2obench.tasks.modules.batching`.
"""

import csv
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.nn import functional

from l2obench.tasks.base import Tensors
from l2obench.tasks.module import ModuleTask, make_module_task
from l2obench.tasks.modules.workshop import workshop

COLUMNS = ("model", "batch", "operations", "graph_bytes", "replicas", "together_seconds", "one_by_one_seconds", "ratio")
REPLICAS, ROUNDS, CLASSES, PIXELS = (2, 8, 20), 6, 10, 64


def make_perceptron(units: int, layers: int) -> nn.Module:
    """A perceptron on 64 inputs.

    Args:
        units: in each hidden layer.
        layers: hidden ones.
    """
    widths = [PIXELS, *[units] * layers]
    hidden = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(units, CLASSES))


def make_convolutional(channels: int, norm: bool) -> nn.Module:
    """Two convolutions of three colours, a mean over pixels, and a linear layer.

    Args:
        channels: of both.
        norm: whether batch norm follows each.
    """
    parts: list[nn.Module] = []
    for inputs in (3, channels):
        parts += [nn.Conv2d(inputs, channels, 3, padding=1), *([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "perceptron, 32 units": (lambda: make_perceptron(32, 1), (PIXELS,), 32),
    "perceptron, 3 × 256 units": (lambda: make_perceptron(256, 3), (PIXELS,), 64),
    "perceptron, 3 × 512 units": (lambda: make_perceptron(512, 3), (PIXELS,), 128),
    "2 convolutions, 4 channels, 8×8 pixels": (lambda: make_convolutional(4, False), (3, 8, 8), 8),
    "the same with batch norm, 4 channels, 8×8 pixels": (lambda: make_convolutional(4, True), (3, 8, 8), 8),
    "2 convolutions, 8 channels, 8×8 pixels": (lambda: make_convolutional(8, False), (3, 8, 8), 32),
    "the same with batch norm, 8 channels, 8×8 pixels": (lambda: make_convolutional(8, True), (3, 8, 8), 32),
    "2 convolutions, 8 channels, 16×16 pixels": (lambda: make_convolutional(8, False), (3, 16, 16), 32),
    "the same with batch norm, 8 channels, 16×16 pixels": (lambda: make_convolutional(8, True), (3, 16, 16), 32),
}
"""Each with the shape of an input, and the minibatch."""


def make_task(name: str) -> ModuleTask:
    """The task of one of `MODELS`, on random inputs and labels.

    Args:
        name: of the model.
    """
    model, shape, batch = MODELS[name]
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, *shape, generator=random), torch.randint(CLASSES, (256,), generator=random)
    return make_module_task(
        name,
        model=model,
        data=(x, y),
        loss=lambda made, rows: functional.cross_entropy(made(rows[0]), rows[1]),
        batch=batch,
    )


def measure(task: ModuleTask, replicas: int, rounds: int = ROUNDS) -> tuple[float, float]:
    """Least processor time of all gradients together, and one after the other, in turns.

    Args:
        task: what the replicas are of.
        replicas: how many.
        rounds: how often each; one more comes first.

    Example:
        >>> together, one_by_one = measure(make_task("perceptron, 32 units"), 2, rounds=1)
        >>> together > 0 < one_by_one
        True
    """
    problems = [task.sample(torch.Generator().manual_seed(seed)) for seed in range(replicas)]
    batches = []
    for seed, problem in enumerate(problems):
        drawn = task.draw(torch.Generator().manual_seed(seed), 1)
        batches.append(task.minibatch(problem.data, {name: value[0] for name, value in drawn.items()}))
    params = {name: value.unsqueeze(1) for name, value in _stacked([problem.params for problem in problems]).items()}
    batch, made = _stacked(batches), workshop(task, False)
    buffers = made.buffers_like(params)
    seconds: dict[str, list[float]] = {"together": [], "one_by_one": []}
    for _ in range(rounds + 1):
        for name, found in seconds.items():
            began = time.process_time()
            getattr(made, name)(params, buffers, batch)
            found.append(time.process_time() - began)
    return min(seconds["together"][1:]), min(seconds["one_by_one"][1:])


def _stacked(parts: list[Tensors]) -> Tensors:
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def main(to: Annotated[Path | None, typer.Option(help="A .csv file to keep the rows in.")] = None) -> None:
    """Print a row for each model and number of replicas."""
    torch.set_num_threads(1)
    rows = []
    for name in MODELS:
        task = make_task(name)
        size = workshop(task, False).batching()
        for replicas in REPLICAS:
            together, alone = measure(task, replicas)
            found = (f"{together:.3g}", f"{alone:.3g}", round(together / alone, 4))
            rows.append((name, task.batch, size.flops, size.saved_bytes, replicas, *found))
            typer.echo(" · ".join(map(str, rows[-1])))
    if to is not None:
        with to.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    typer.run(main)
