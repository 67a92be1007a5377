"""Does an optimizer diverge anywhere? `python -m l2obench.bench.studies.random_problems general --to random.csv`.

A thousand problems with families, sizes, activations, initial weights, minibatches and horizons drawn at random; one
function each. A row is kept as soon as it is there, and the same command goes on where it was stopped.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer

from l2obench.bench.config.identity import format_identity
from l2obench.bench.config.registry import identify, identify_functions, optimizer_registry, task_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed

COLUMNS = ("number", "task", "coordinates", "optimizer", "loss_at_start", "final_loss", "diverged_at")
LEAST_HORIZON, USUAL_HORIZON, LARGEST_HORIZON = 50, 1_000, 10_000
LONG_SHARE = 0.05
"""The share of problems that may be longer than the usual horizon."""
COORDINATE_STEPS = 4_000_000
"""Coordinates times steps of one problem: what is wide is short, so that each takes seconds."""
Draw = Callable[[Random], Any]
INITIALISATIONS = ("torch", "he", "xavier", "small")
ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "elu", "sigmoid")


def one_of(*values: Any) -> Draw:
    """Draws one of some values, all alike.

    Args:
        values: to choose from.
    """
    return lambda random: random.choice(values)


def log_uniform(low: int, high: int, multiple: int = 1) -> Draw:
    """Draws a whole number, its logarithm uniform.

    Args:
        low: the least.
        high: the largest.
        multiple: what it is a multiple of.

    Example:
        >>> 8 <= log_uniform(8, 64, multiple=4)(Random(0)) <= 64
        True
    """
    return lambda random: multiple * round(low / multiple * (high / low) ** random.random())


FAMILIES: Mapping[str, Mapping[str, Draw]] = {
    "regression": {
        "units": log_uniform(4, 1024),
        "layers": one_of(1, 2, 3, 6),
        "activation": one_of(*ACTIVATIONS),
        "norm": one_of(False, True),
        "inputs": one_of(1, 2, 8, 32),
        "noise": one_of(0.0, 0.1, 1.0),
        "batch": log_uniform(8, 1024),
        "initialisation": one_of(*INITIALISATIONS),
    },
    "perceptron": {
        "data": one_of("digits", "mnist1d"),
        "units": log_uniform(4, 1024),
        "layers": one_of(1, 2, 4),
        "activation": one_of("relu", "sigmoid", "gelu", "tanh"),
        "batch": log_uniform(8, 1024),
        "scale": one_of(0.01, 0.1, 0.3),
    },
    "logistic": {"data": one_of("digits", "wine", "breast-cancer"), "batch": log_uniform(8, 1024)},
    "digit-autoencoder": {
        "units": log_uniform(4, 512),
        "code": one_of(2, 8, 16),
        "scale": one_of(0.03, 0.1, 0.3),
        "batch": log_uniform(8, 1024),
    },
    "digit-cnn": {
        "channels": log_uniform(2, 32),
        "norm": one_of(False, True),
        "batch": log_uniform(8, 256),
        "initialisation": one_of(*INITIALISATIONS),
    },
    "char-attention": {
        "width": log_uniform(8, 64, multiple=2),
        "layers": one_of(1, 2, 4),
        "tied": one_of(False, True),
        "batch": log_uniform(8, 64),
        "initialisation": one_of(*INITIALISATIONS),
    },
    "char-rnn": {
        "cell": one_of("gru", "tanh"),
        "units": log_uniform(8, 64),
        "context": one_of(4, 16, 32),
        "batch": log_uniform(8, 64),
    },
    "factorisation": {
        "size": log_uniform(10, 200),
        "width": one_of(2, 6, 16),
        "noise": one_of(0.0, 0.1, 1.0),
        "scale": one_of(0.01, 0.1, 1.0),
    },
    "deblurring": {"side": one_of(8, 16, 32), "passes": one_of(1, 2, 4), "scale": one_of(0.01, 0.1, 1.0)},
    "sinusoid": {"units": log_uniform(4, 256), "batch": log_uniform(8, 1024)},
    "quadratic": {"dim": log_uniform(2, 256), "scale": one_of(0.01, 1.0, 100.0)},
    "ill-conditioned": {"dim": log_uniform(2, 256), "condition": one_of(10.0, 1e3, 1e5)},
    "chained-rosenbrock": {"dim": log_uniform(2, 64), "steepness": one_of(1.0, 10.0, 100.0)},
}


def draw_problem(number: int) -> Any:
    """The task of a problem, of any horizon from 50 to 10,000 that its size allows.

    Args:
        number: of the problem, from 0.

    Example:
        >>> draw_problem(3) == draw_problem(3)
        True
    """
    random = Random(number)
    name = random.choice(sorted(FAMILIES))
    task = task_registry().create(format_identity(name, {key: draw(random) for key, draw in FAMILIES[name].items()}))
    longest = LARGEST_HORIZON if random.random() < LONG_SHARE else USUAL_HORIZON
    longest = min(longest, max(2 * LEAST_HORIZON, COORDINATE_STEPS // coordinates_of(task)))
    return task.model_copy(update={"horizon": log_uniform(LEAST_HORIZON, longest)(random)})


def coordinates_of(task: Any) -> int:
    """How many parameters a function of a task has.

    Args:
        task: a family of functions.
    """
    start = task.sample(torch.Generator().manual_seed(0)).params
    return sum(tensor.numel() for tensor in start.values())


def measure(number: int, optimizer: str) -> tuple[Any, ...]:
    """The row of a problem and an optimizer.

    Args:
        number: of the problem.
        optimizer: its identity, or the name of a checkpoint.

    Returns:
        The values of `COLUMNS`; `diverged_at` is −1 where it does not diverge.
    """
    task = draw_problem(number)
    seed = derive_seed("meta-validation", identify_functions(task), number)
    found = rollout(task, optimizer_registry().create(optimizer), [seed], evaluate=False)
    losses = found.losses[0, 0]
    tail = float(task.final_loss(losses))
    first, diverged_at = float(losses[0]), int(found.diverged_at[0, 0])
    return (number, identify(task), coordinates_of(task), optimizer, first, tail, diverged_at)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows that are there.

    Args:
        path: of the .csv file, which need not exist.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summarise(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each optimizer: where it diverged, and how often it ends below each other one.

    Args:
        rows: of `COLUMNS`, as strings.
    """
    final: dict[str, dict[int, float]] = {}
    first = {int(row["number"]): float(row["loss_at_start"]) for row in rows}
    for row in rows:
        diverged = int(row["diverged_at"]) >= 0
        final.setdefault(row["optimizer"], {})[int(row["number"])] = math.inf if diverged else float(row["final_loss"])
    for optimizer, losses in final.items():
        bad = [number for number, loss in losses.items() if not math.isfinite(loss)]
        above = [number for number, loss in losses.items() if loss > first[number]]
        line = f"{optimizer}: {len(losses)} problems, diverged on {len(bad)}, above its start on {len(above)}"
        for other, theirs in final.items():
            shared = losses.keys() & theirs.keys()
            if other != optimizer and shared:
                line += f"; below {other} on {sum(losses[k] < theirs[k] for k in shared)} of {len(shared)}"
        yield line


def main(
    optimizers: Annotated[list[str], typer.Argument(help="Identities of optimizers, or names of checkpoints.")],
    to: Annotated[Path, typer.Option(help="The .csv file that keeps the rows; it is gone on with.")],
    problems: Annotated[int, typer.Option(min=1, help="How many problems.")] = 1000,
) -> None:
    """Run every optimizer on every problem that has no row yet, and print where each diverged."""
    torch.set_num_threads(1)
    rows = rows_of(to)
    have = {(int(row["number"]), row["optimizer"]) for row in rows}
    with to.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not rows:
            writer.writerow(COLUMNS)
        for number in range(problems):
            for optimizer in optimizers:
                if (number, optimizer) not in have:
                    writer.writerow(measure(number, optimizer))
                    file.flush()
    for line in summarise(rows_of(to)):
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
