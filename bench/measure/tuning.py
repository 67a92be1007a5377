"""The track `tuned`: a learning-rate grid, chosen by mean final loss on tuning seeds (the paper's protocol, section 3).

The grid has four points a decade. While the best point lies at an edge, the grid grows there by a decade. Then it is
refined around its best point by half steps.

With successive halving (Jamieson & Talwalkar 2016), for tasks too slow for that, all points run a ninth of the horizon,
the best third of them a third of it, and the best third of those all of it. Short runs favour other rates than long
ones, so both neighbours of the best are then run to the end as well, until the best has none that was not.
"""

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import torch

from l2obench.bench.config.registry import identify, identify_functions
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.failures import from_model
from l2obench.bench.measure.outcomes import outcomes, score
from l2obench.bench.rollout.loop import DEFAULT_OPTIONS, rollout
from l2obench.bench.rollout.memory import default_budget, settings_that_fit
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

# A point of the grid is a whole number k, its rate 10^(k / 4): neighbours differ by a factor of 1.78. Points between
# them are fractions.
POINTS_PER_DECADE = 4
# How often the steps around the best point are halved. More would change no verdict of suite `quick`, and choose rates
# so close to divergence that other functions diverge (docs/protocol.md, "Tracks").
REFINEMENTS = 1
# The grid begins with 10⁻⁴ … 10.
FIRST, LAST = -4 * POINTS_PER_DECADE, 1 * POINTS_PER_DECADE
# The grid never leaves 10⁻⁸ … 10⁸. A rule that is better the larger its rate, up to any size, would extend it for ever.
LIMIT = 8 * POINTS_PER_DECADE
# These sentences are part of a cell's description: a cell computed by another protocol is a conflict.
PROTOCOL = "lr grid, 4 a decade, 1e-4 to 10, extended at an edge, refined by half steps, by mean final loss"
HALVING_PROTOCOL = (
    f"{PROTOCOL}; successive halving over 1/9, 1/3 and all of the horizon, neighbours of the best in full"
)
# One in so many points survives a rung of successive halving, and the next rung is so many times as long.
SURVIVAL = 3


@dataclass(frozen=True)
class Tuning:
    """What tuning tried (one row for each rate and seed) and chose."""

    rows: list[dict[str, Any]]
    lr: float
    at_edge: bool
    passes: int
    """Forward and backward passes that it took, over all rates and seeds."""


def tune(
    task: Task,
    optimizer: Optimizer,
    count: int,
    *,
    halving: bool = False,
    options: RunOptions = DEFAULT_OPTIONS,
    on_rollout: Callable[[str], Any] = lambda _: None,
    on_step: Callable[[], Any] | None = None,
) -> Tuning:
    """Choose the learning rate of `optimizer` on `count` tuning functions of `task.for_tuning()`.

    A rate at which any function diverges has an infinite mean. It is chosen only if all rates do; then the rate with
    the fewest divergences is, and of equals the smaller one.

    Args:
        task: the family.
        optimizer: the rule, whose `lr` is tuned.
        count: tuning seeds, one function each.
        halving: use successive halving over the horizon.
        options: `device`, `compile` and `memory` are used.
        on_rollout: called with a line before each rung or extension of the grid.
        on_step: called after each step.

    Returns:
        The rate that was chosen, and every rate and seed that was tried.

    Raises:
        ContractBroken: the task or the optimizer changed shapes or inputs.
    """
    with from_model:
        family = identify_functions(task.for_tuning())
    seeds = [derive_seed("tuning", family, index) for index in range(count)]
    new: list[float] = [*range(FIRST, LAST + 1)]
    pruned: list[dict[str, Any]] = []
    for share in (SURVIVAL**2, SURVIVAL) if halving else ():
        short = task.model_copy(update={"horizon": max(1, task.horizon // share)})
        on_rollout(f"tuning over {len(new)} learning rates × {count} seeds, {short.horizon} steps")
        tried = run_rates(short, optimizer, seeds, new, options, on_step)
        pruned += [row for point in new for row in tried[point]]
        new = sorted(sorted(new, key=lambda point: (*score(tried[point]), point))[: math.ceil(len(new) / SURVIVAL)])
    tried = {}
    while new:
        on_rollout(f"tuning over {len(new)} learning rates × {count} seeds")
        tried.update(run_rates(task, optimizer, seeds, new, options, on_step))
        best = min(tried, key=lambda point: (*score(tried[point]), point))
        new = _neighbours(best, tried) if halving else _beyond(best, min(tried), max(tried))
    at_edge = best in (min(tried), max(tried))
    for halved in range(1, REFINEMENTS + 1):
        new = [point for point in (best - 0.5**halved, best + 0.5**halved) if -LIMIT <= point <= LIMIT]
        on_rollout(f"tuning over {len(new)} learning rates × {count} seeds, between those of the grid")
        tried.update(run_rates(task, optimizer, seeds, new, options, on_step))
        best = min(tried, key=lambda point: (*score(tried[point]), point))
    rows = pruned + [row | {"chosen": point == best} for point in sorted(tried) for row in tried[point]]
    about = {"task": identify(task), "at_edge": at_edge}
    rows = [row | about for row in rows]
    return Tuning(rows, rate_of(best), at_edge, sum(row["steps"] for row in rows))


def run_rates(
    task: Task,
    optimizer: Optimizer,
    seeds: list[int],
    points: list[float],
    options: RunOptions,
    on_step: Callable[[], Any] | None,
) -> dict[float, list[dict[str, Any]]]:
    """Run a rule at some points of the grid; all rates that fit into memory run together.

    Args:
        task: the family. Rates run on `task.for_tuning()`.
        optimizer: the rule, whose `lr` is set.
        seeds: of tuning functions.
        points: of the grid.
        options: `device`, `compile` and `memory` are used.
        on_step: called after each step.

    Returns:
        Rows of each point, one for each seed.
    """
    rates = [rate_of(point) for point in points]
    budget = default_budget(options.device) if options.memory is None else options.memory
    with from_model:
        tuned_on = task.for_tuning()
        at_once = settings_that_fit(tuned_on, optimizer, budget)
    results = [
        rollout(
            tuned_on,
            _stack_rates(optimizer, some, options.device),
            seeds,
            len(some),
            options=options,
            evaluate=False,
            on_step=on_step,
        )
        for some in (rates[first : first + at_once] for first in range(0, len(rates), at_once))
    ]
    diverged_at = torch.cat([result.diverged_at for result in results], dim=1)
    losses = torch.cat([result.losses for result in results], dim=1)
    name = identify(optimizer)
    return {
        point: [
            {"optimizer": name, "lr": rate, "seed": seed, **outcome, "chosen": False}
            for seed, outcome in enumerate(by_seed)
        ]
        for point, rate, by_seed in zip(points, rates, outcomes(task, losses, diverged_at), strict=True)
    }


def _stack_rates(optimizer: Optimizer, rates: list[float], device: str) -> Optimizer:
    with from_model:
        return optimizer.stacked({"lr": torch.tensor([rates], device=device)})


def rate_of(point: float) -> float:
    """Give the learning rate of a point of the grid, or between two.

    Args:
        point: the logarithm of the rate, in quarters of a decade.

    Example:
        >>> rate_of(-4), rate_of(0.5)
        (0.1, 1.33352)
    """
    return float(f"{10 ** (point / POINTS_PER_DECADE):.6g}")


def _beyond(best: float, first: float, last: float) -> list[float]:
    """The next decade past an edge where the best point lies; nothing if it lies inside, or at the limit."""
    if best == first:
        return [point for k in range(POINTS_PER_DECADE, 0, -1) if (point := first - k) >= -LIMIT]
    if best == last:
        return [point for k in range(1, POINTS_PER_DECADE + 1) if (point := last + k) <= LIMIT]
    return []


def _neighbours(best: float, tried: Container[float]) -> list[float]:
    """The points beside the best that have not been run to the end."""
    return [point for point in (best - 1, best + 1) if point not in tried and -LIMIT <= point <= LIMIT]
