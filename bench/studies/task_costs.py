"""Size and cost of every task: `python -m l2obench.bench.studies.task_costs --to docs/task_costs.csv`.

A row has the task's coordinates, horizon and minibatch, and the processor time of 100 steps of AdamW on one function.
"""

import csv
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

COLUMNS = ("task", "coordinates", "horizon", "batch", "steps", "seconds")
STEPS, ROUNDS, SEED = 100, 3, 0


def count_coordinates(task: Task) -> int:
    """How many numbers an optimizer sets.

    Args:
        task: of which one function is drawn.

    Example:
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> count_coordinates(Quadratic(dim=20))
        20
    """
    params = task.sample(torch.Generator().manual_seed(SEED)).params
    return sum(value.numel() for value in params.values())


def measure_seconds(task: Task, optimizer: Optimizer, rounds: int = ROUNDS) -> float:
    """Least processor time of a whole run on one function, without held-out metrics.

    Args:
        task: its horizon is the number of steps.
        optimizer: the rule.
        rounds: how often; one more comes first, which loads data.
    """
    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        rollout(task, optimizer, [SEED], evaluate=False)
        found.append(time.process_time() - began)
    return min(found[1:])


def main(
    tasks: Annotated[list[str] | None, typer.Argument(help="Identities of tasks. Default: all families.")] = None,
    to: Annotated[Path | None, typer.Option(help="A .csv file to keep the rows in.")] = None,
) -> None:
    """Print a row for each task."""
    torch.set_num_threads(1)
    rows = []
    for name in tasks or list(task_registry().entries):
        task = task_registry().create(name)
        seconds = measure_seconds(task.model_copy(update={"horizon": STEPS}), optimizer_registry().create("adamw"))
        batch = getattr(task, "batch", None)
        rows.append((name, count_coordinates(task), task.horizon, batch, STEPS, round(seconds, 4)))
        typer.echo(",".join(map(str, rows[-1])))
    if to is not None:
        with to.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    typer.run(main)
