"""The jobs that choose hyperparameters: a learning rate on a grid, or a search with a budget of trials."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.measure import trials, tuning
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task


def tune(
    task: Task,
    optimizers: Sequence[Optimizer],
    progress: Callable[..., object],
    *,
    count: int,
    halving: bool,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Tune the learning rate of one optimizer.

    Args:
        task: the family to tune on.
        optimizers: one.
        progress: called with a line before each rung, and without one after each step.
        count: tuning seeds.
        halving: whether to use successive halving.
        options: the fields of `RunOptions`.

    Returns:
        The fields of a `Tuning`.
    """
    (optimizer,) = optimizers
    chosen = tuning.tune(
        task,
        optimizer,
        count,
        halving=halving,
        options=RunOptions(**options),
        on_rollout=progress,
        on_step=progress,
    )
    return dict(vars(chosen))


def search(
    task: Task,
    optimizers: Sequence[Optimizer],
    progress: Callable[..., object],
    *,
    track: str,
    count: int,
    seeds: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Search the hyperparameters of one optimizer.

    Args:
        task: the family to search on.
        optimizers: one.
        progress: called with a line before each rollout, and without one after each step.
        track: with a budget.
        count: tuning seeds.
        seeds: evaluation seeds.
        options: the fields of `RunOptions`.

    Returns:
        The fields of a `Search`.
    """
    (optimizer,) = optimizers
    found = trials.search(
        task,
        optimizer,
        track,
        count,
        seeds,
        options=RunOptions(**options),
        on_rollout=progress,
        on_step=progress,
    )
    return dict(vars(found))
