"""The tracks `budget=N`: N quasi-random trials of a rule's declared hyperparameters, chosen among on tuning seeds.

Every trial also runs on the evaluation seeds. So one run says what the best of k trials ends with, for every k up to N.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from l2obench.bench.config.budget import parse_budget, search_space
from l2obench.bench.config.registry import identify, identify_functions, optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.failures import Failure, from_model
from l2obench.bench.measure.outcomes import outcomes, score
from l2obench.bench.rollout.loop import DEFAULT_OPTIONS, Trajectories, rollout
from l2obench.bench.rollout.memory import default_budget, settings_that_fit
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.search_space import Dimension
from l2obench.tasks.base import Task

# The same points for every task: a tenth trial is a tenth trial of the same list everywhere.
SCRAMBLING = 0
# These sentences are part of a cell's description: a cell computed by another protocol is a conflict.
PROTOCOL = f"Halton points scrambled with seed {SCRAMBLING}, by mean final loss on tuning seeds"
HELDOUT_PROTOCOL = f"Halton points scrambled with seed {SCRAMBLING}, by mean held-out loss on tuning seeds"
POOLS: tuple[Purpose, ...] = ("tuning", "evaluation")
Values = dict[str, Any]
"""A value for each hyperparameter that is searched."""


@dataclass(frozen=True)
class Search:
    """What a search tried (one row for each trial, pool and seed) and chose."""

    rows: list[dict[str, Any]]
    chosen: Values
    passes: int
    """Forward and backward passes on the tuning seeds, over all trials. Evaluation is no part of a search."""


def draw_trials(space: Mapping[str, Dimension], count: int) -> list[Values]:
    """Draw the first trials of the quasi-random list of a search space.

    Args:
        space: by hyperparameter, in the order that the rule declares.
        count: how many. A larger count begins with the same trials.

    Example:
        >>> from l2obench.optimizers.search_space import RATE
        >>> draw_trials({"lr": RATE}, 3) == draw_trials({"lr": RATE}, 8)[:3]
        True
    """
    # Not at the top: every process of a run would wait most of a second for it, and few search.
    from scipy.stats import qmc

    points = qmc.Halton(len(space), scramble=True, rng=np.random.default_rng(SCRAMBLING)).random(count)
    return [
        {name: dimension.at(float(share)) for (name, dimension), share in zip(space.items(), point, strict=True)}
        for point in points
    ]


def describe_search(optimizer: Optimizer, track: str) -> dict[str, Any]:
    """Describe all that decides which trials run and which is chosen.

    Args:
        optimizer: the rule.
        track: with a budget.
    """
    heldout = (budget := parse_budget(track)) is not None and budget.heldout
    space = search_space(optimizer, heldout)
    return {
        "search": HELDOUT_PROTOCOL if heldout else PROTOCOL,
        "space": {name: str(dimension) for name, dimension in space.items()},
    }


def with_hyperparameters(optimizer: Optimizer, values: Mapping[str, Any], task: Task) -> Optimizer:
    """Make the rule with other hyperparameters, those of its schedule included.

    Args:
        optimizer: as the registry made it.
        values: by hyperparameter.
        task: whose groups of parameters the rule is for.
    """
    with from_model:
        made: Optimizer = optimizer_registry().create(identify(optimizer), values)
        return made.for_groups(task.groups)


def search(
    task: Task,
    optimizer: Optimizer,
    track: str,
    count: int,
    seeds: int,
    *,
    options: RunOptions = DEFAULT_OPTIONS,
    on_rollout: Callable[[str], Any] = lambda _: None,
    on_step: Callable[[], Any] | None = None,
) -> Search:
    """Run the trials of a budget on tuning and on evaluation seeds, and choose one by the tuning seeds.

    A trial that fails on any tuning seed has an infinite mean. It is chosen only if all do; then the one with the
    fewest failures is. Of equals the earlier trial is chosen.

    Args:
        task: the family. Tuning seeds are of `task.for_tuning()`.
        optimizer: the rule, whose search space decides the trials.
        track: with a budget.
        count: tuning seeds.
        seeds: evaluation seeds, on which all trials run and by which none is chosen.
        options: `device`, `compile` and `memory` are used.
        on_rollout: called with a line before each rollout.
        on_step: called after each step.

    Returns:
        The trial that was chosen, and a row for every trial and seed.

    Raises:
        Failure: the track chooses by held-out loss, and the task has none.
        ContractBroken: the task or the optimizer changed shapes or inputs.
    """
    budget = parse_budget(track)
    if budget is None:
        raise ValueError(f"track must have a budget, got {track}. Try: budget=32")
    drawn = draw_trials(search_space(optimizer, budget.heldout), budget.trials)
    rows: list[dict[str, Any]] = []
    for pool, number in zip(POOLS, (count, seeds), strict=True):
        with from_model:
            family = task.for_tuning() if pool == "tuning" else task
        derived = [derive_seed(pool, identify_functions(family), index) for index in range(number)]
        for batch in _batches(family, optimizer, drawn, options):
            on_rollout(f"{pool}: {len(batch)} of {len(drawn)} trials × {number} seeds")
            values = [drawn[place] for place in batch]
            result = _run(family, optimizer, values, derived, budget.heldout, options, on_step)
            rows += _rows(family, result, batch, drawn, pool)
    column = "heldout_loss" if budget.heldout else "final_loss"
    if budget.heldout and all(row[column] is None for row in rows):
        raise Failure("error", f"{track} needs a task with a held-out loss, got {identify(task)}. Try: {track[8:]}")
    tuned: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["pool"] == "tuning":
            tuned.setdefault(row["trial"], []).append(row)
    best = min(tuned, key=lambda place: (*score(tuned[place], column), place))
    about = {"task": identify(task), "optimizer": identify(optimizer), "track": track}
    rows = [row | about | {"chosen": row["trial"] == best} for row in sorted(rows, key=_order)]
    return Search(rows, drawn[best], count * len(drawn) * task.horizon)


def _batches(task: Task, optimizer: Optimizer, drawn: Sequence[Values], options: RunOptions) -> list[list[int]]:
    """Positions of trials that run together: they differ in numbers alone, and fit into memory."""
    memory = default_budget(options.device) if options.memory is None else options.memory
    alike: dict[str, list[int]] = {}
    for place, values in enumerate(drawn):
        words = {name: value for name, value in values.items() if not isinstance(value, float)}
        alike.setdefault(json.dumps(words, sort_keys=True), []).append(place)
    with from_model:
        at_once = settings_that_fit(task, optimizer, memory)
    return [group[first : first + at_once] for group in alike.values() for first in range(0, len(group), at_once)]


def _run(
    task: Task,
    optimizer: Optimizer,
    trials: Sequence[Values],
    seeds: Sequence[int],
    evaluate: bool,
    options: RunOptions,
    on_step: Callable[[], Any] | None,
) -> Trajectories:
    """Run trials that differ in numbers alone as settings of one rollout."""
    rule = with_hyperparameters(optimizer, trials[0], task)
    names = [name for name, value in trials[0].items() if isinstance(value, float)]
    with from_model:
        stacked = rule.stacked(
            {name: torch.tensor([[values[name] for values in trials]], device=options.device) for name in names}
        )
    return rollout(task, stacked, seeds, len(trials), options=options, evaluate=evaluate, on_step=on_step)


def _rows(
    task: Task, result: Trajectories, batch: Sequence[int], drawn: Sequence[Values], pool: str
) -> list[dict[str, Any]]:
    heldout = result.heldout.get("loss")
    return [
        {
            "trial": place,
            "hyperparameters": json.dumps(drawn[place], sort_keys=True),
            "pool": pool,
            "seed": seed,
            **outcome,
            "heldout_loss": None if heldout is None else float(heldout[seed, k]),
        }
        for k, (place, by_seed) in enumerate(zip(batch, outcomes(task, result.losses, result.diverged_at), strict=True))
        for seed, outcome in enumerate(by_seed)
    ]


def _order(row: Mapping[str, Any]) -> tuple[int, int, int]:
    return row["trial"], POOLS.index(row["pool"]), row["seed"]
