"""Which training of the general optimizer is shipped: validation on larger small problems for 500 to 2,000 steps.

`python -m l2obench.bench.studies.long_validation general relative-muon --to long.csv` keeps a row for each problem and
optimizer. No problem here is in a suite, and each is larger or longer than those that `general` was trained on.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from l2obench.bench.config.registry import identify_functions, optimizer_registry, task_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.tasks.base import Task

TASKS = (
    "perceptron[units=96,layers=2,activation=elu,batch=32,horizon=2000]",
    "regression[norm=true,units=96,layers=3,horizon=2000]",
    "digit-autoencoder[units=96,code=12,horizon=2000]",
    "factorisation[size=150,width=16,horizon=1500]",
    "logistic[data=breast-cancer,batch=16,horizon=2000]",
    "char-rnn[cell=tanh,units=64,horizon=1000]",
    "digit-cnn[channels=24,batch=32,horizon=500]",
    "char-attention[width=48,layers=2,context=32,batch=8,horizon=500]",
    "deblurring[side=40,horizon=500]",
    "quadratic[dim=40,horizon=500]",
)
COLUMNS = ("task", "optimizer", "functions", "final_over_first")
LEAST = 1e-6
"""Ratios below it count as it: what is solved is solved."""


def measure_ratio(task: str, optimizer: str, functions: int) -> float:
    """The mean final loss over the mean loss at the start, on functions of the pool for validation.

    Args:
        task: its identity.
        optimizer: its identity, or the name of a shipped checkpoint.
        functions: how many.

    Returns:
        Infinity where a function diverges.

    Example:
        >>> 0 < measure_ratio("quadratic[dim=2,horizon=5]", "adam[lr=0.1]", 3) < 1
        True
    """
    family = task_registry().create(task)
    seeds = [derive_seed("meta-validation", identify_functions(family), k) for k in range(functions)]
    return final_over_first(
        family, rollout(family, optimizer_registry().create(optimizer), seeds, evaluate=False).losses
    )


def final_over_first(family: Task, losses: Tensor) -> float:
    """The mean final loss over the mean loss at the start; infinity where a function diverges.

    Args:
        family: what was trained.
        losses: `[functions, settings, steps + 1]`.
    """
    ratio = float(family.final_loss(losses).mean() / losses[..., 0].mean())
    return ratio if math.isfinite(ratio) else math.inf


def geometric_mean(ratios: Sequence[float]) -> float:
    """The geometric mean of ratios, none below `LEAST`.

    Args:
        ratios: above zero, or infinite.

    Example:
        >>> round(geometric_mean([0.01, 1.0]), 6)
        0.1
    """
    return math.exp(sum(math.log(max(ratio, LEAST)) for ratio in ratios) / len(ratios))


def main(
    optimizers: Annotated[list[str], typer.Argument(help="Identities of optimizers, or names of checkpoints.")],
    functions: Annotated[int, typer.Option(min=1, help="Functions of each problem.")] = 3,
    to: Annotated[Path | None, typer.Option(help="A .csv file to keep the rows in.")] = None,
) -> None:
    """Print the ratio of final to first loss for each problem and optimizer, and its geometric mean."""
    torch.set_num_threads(1)
    rows = []
    for task in TASKS:
        for optimizer in optimizers:
            ratio = measure_ratio(task, optimizer, functions)
            rows.append((task, optimizer, functions, ratio))
            typer.echo(f"{task} {optimizer}: {ratio:.4g}")
    for optimizer in optimizers:
        mean = geometric_mean([ratio for _, name, _, ratio in rows if name == optimizer])
        typer.echo(f"geometric mean {optimizer}: {mean:.4g}")
    if to is not None:
        with to.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    typer.run(main)
