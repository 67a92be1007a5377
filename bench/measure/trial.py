"""Short trials of a cell: a few steps of its evaluation and of its tuning, from which its time and memory follow."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from l2obench.bench.config.registry import identify_functions
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.measure.tuning import FIRST, LAST
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.memory import seed_bytes
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

STEPS = 8
"""Steps of a trial, of which the median counts."""
ENOUGH_SECONDS = 3.0
"""A trial that has taken so long ends after its second step: slow steps differ little from one another."""
RATES = LAST - FIRST + 1
"""Learning rates of the first grid. They step together."""


class _Enough(Exception):
    """A trial has taken long enough."""


@dataclass(frozen=True)
class Trial:
    """What a rollout of a cell takes."""

    start_seconds: float
    """Seconds before its first step."""
    step_seconds: float
    """Seconds of one step of all its replicas."""

    def seconds(self, steps: float) -> float:
        """Forecast the seconds that so many steps take, with the start.

        Args:
            steps: their number.
        """
        return self.start_seconds + steps * self.step_seconds


@torch.no_grad()
def try_rollout(
    task: Task,
    optimizer: Optimizer,
    count: int,
    settings: int,
    options: RunOptions,
    on_step: Callable[[], Any] = lambda: None,
) -> Trial:
    """Take a few steps, with a stopwatch.

    Args:
        task: the family.
        optimizer: the rule. With several settings it has a learning rate, whose value does not matter here.
        count: seeds.
        settings: replicas of each seed.
        options: how cells are run.
        on_step: called after each step.
    """
    purpose: Purpose = "evaluation" if settings == 1 else "tuning"
    seeds = [derive_seed(purpose, identify_functions(task), index) for index in range(count)]
    if settings > 1:
        lr = torch.full((1, settings), float(getattr(optimizer, "lr")), device=options.device)  # noqa: B009
        optimizer = optimizer.stacked({"lr": lr})
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())
        on_step()
        if len(marks) > 2 and marks[-1] - marks[0] > ENOUGH_SECONDS:
            raise _Enough

    short = task.model_copy(update={"horizon": STEPS})
    # Compiling takes a minute, which a trial should not.
    own = replace(options, compile=False)
    with contextlib.suppress(_Enough):
        rollout(short, optimizer, seeds, settings, options=own, evaluate=False, on_step=mark)
    # The median leaves out the first step, which is slow: memory is allocated, and libraries choose their kernels.
    step = statistics.median(after - before for before, after in itertools.pairwise(marks[1:]))
    return Trial(max(0.0, marks[1] - marks[0] - step), step)


def replica_bytes(task: Task, optimizer: Optimizer, count: int, tuning_count: int) -> float:
    """Estimate the bytes of a cell's replicas, those of its tuning included.

    Args:
        task: the family.
        optimizer: the rule.
        count: evaluation seeds.
        tuning_count: tuning seeds; 0: it is not tuned.
    """
    needed = count * seed_bytes(task, optimizer, 1)
    if tuning_count:
        needed = max(needed, tuning_count * seed_bytes(task.for_tuning(), optimizer, RATES))
    return needed
