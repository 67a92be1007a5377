"""What optimizers and tasks cost beyond what a row measures. The manifest of a run keeps it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from l2obench.bench.config.registry import task_registry
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Task


def optimizer_costs(optimizer: Optimizer) -> dict[str, Any]:
    """Collect what an optimizer costs; None stands for what is not known.

    Args:
        optimizer: the rule, ours or a plugin's.

    Returns:
        `flops_per_coordinate`, and `meta_training`: `seconds` of wall-clock and gradient `evaluations`, those of the
        training that it started from included; of its own recipe the `trajectories` (each of `functions` functions),
        the `task` it trained on, and that task's `horizon`.
    """
    try:
        flops = optimizer.flops_per_coordinate()
    # A plugin may raise anything: its count is then not known, and the run goes on.
    except Exception:
        flops = None
    return {"flops_per_coordinate": _number(flops), "meta_training": _meta_training(optimizer)}


def task_costs(task: Task) -> dict[str, Any]:
    """Count the parameters of an optimizee.

    Args:
        task: the family.

    Returns:
        `parameters`; None if the family cannot be sampled, and its rows will say why.
    """
    try:
        params = task.sample(generator(derive_seed("timing", task.name, 0))).params
    # A plugin may raise anything.
    except Exception:
        return {"parameters": None}
    return {"parameters": sum(value.numel() for value in params.values())}


def _meta_training(optimizer: Optimizer) -> dict[str, Any] | None:
    if not isinstance(optimizer, LearnedOptimizer) or not (recipe := optimizer.recipe):
        return None
    trainings = list(optimizer.trainings())
    return {
        "seconds": _sum(training.get("seconds") for training in trainings),
        "evaluations": _sum(_evaluations(training) for training in trainings),
        "trajectories": _number(recipe.get("trajectories_done")),
        "functions": _number(recipe.get("functions")),
        "task": str(recipe.get("task", "unknown")),
        "horizon": _horizon(recipe.get("task")),
    }


def _evaluations(recipe: Mapping[str, Any]) -> float | None:
    """Gradients on functions trained on, were all trajectories as long as their families say; without validation.

    Of a mixture, whose families are drawn with equal chances, the mean horizon counts.
    """
    mixture = recipe.get("mixture")
    horizons = [
        _horizon(family) for family in (mixture if isinstance(mixture, list) and mixture else [recipe.get("task")])
    ]
    total = _sum(horizons)
    horizon = None if total is None else total / len(horizons)
    factors = (recipe.get("trajectories_done"), recipe.get("functions"), horizon)
    known = [number for number in map(_number, factors) if number is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _sum(values: Iterable[Any]) -> float | None:
    """The sum; None if any is not known."""
    numbers = [_number(value) for value in values]
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _horizon(task: Any) -> int | None:
    """The horizon of a task by its identity, which a checkpoint from outside may give at will."""
    try:
        return int(task_registry().create(task).horizon)
    except Exception:
        return None


def _number(value: Any) -> float | None:
    """A number that JSON can hold, or None."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return value if plain and math.isfinite(value) else None
