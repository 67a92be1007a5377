"""What optimizers propose for one coordinate: along a trajectory, and as a function of its last gradient.

An optimizer that keeps a state is a function of the whole history, so all are given the same: the gradients on the
trajectory of the first (Andrychowicz et al. 2016, appendix on visualizations).
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from l2obench.bench.config.registry import identify, identify_functions
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.rollout.step import advance, start
from l2obench.foundation.tensors import Tensors, flatten, unflatten
from l2obench.optimizers.base import Optimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Task

# Gradients at which a response is computed.
POINTS = 61
# Steps whose root mean square sets the range of those gradients.
RECENT = 10
AS_IT_WAS, SIGN_TURNED = "as it was", "sign turned"


class UpdatesError(ValueError):
    """A step or coordinate that is not there, or a trajectory that ends in infinity."""

    exit_code = 2


@dataclass(frozen=True)
class Proposals:
    """What was proposed for one coordinate of one function."""

    coordinate: int
    """Its number among all coordinates of the function, parameter by parameter."""
    place: str
    """The same as parameter and index, `bias[3]`."""
    history: pd.DataFrame
    """One row for each optimizer and step: `optimizer`, `learned`, `step`, its `gradient` and `update`."""
    responses: pd.DataFrame
    """At some steps, had the last gradient been another: `optimizer`, `step`, `before`, `gradient`, `update`. `before`
    says what the gradient before the last one was: `as it was`, or with its `sign turned`."""


@dataclass(frozen=True)
class _Trajectory:
    """The trajectory of the first optimizer, step by step, and the coordinate that is shown."""

    grads: list[Tensors]
    params: list[Tensors]
    losses: list[Tensor]
    coordinate: int

    @property
    def gradients(self) -> list[float]:
        return [_entry(grads, self.coordinate) for grads in self.grads]

    def update(self, optimizer: Optimizer, state: State, step: int, grads: Tensors) -> tuple[Tensors, State]:
        """An optimizer's update at a step, counted from 1, had the gradients been these."""
        observed = optimizer.observe(state, self.losses[step - 1], len(self.losses))
        return optimizer.update(grads, observed, self.params[step - 1])


@torch.no_grad()
def proposals(
    task: Task,
    optimizers: Sequence[Optimizer],
    steps: Sequence[int] | None = None,
    coordinate: int | None = None,
    index: int = 0,
) -> Proposals:
    """Compute the updates of all optimizers on the gradients along the trajectory of the first one.

    At some steps, the last gradient is varied too: what would the update be, had it been different?

    Args:
        task: the family; the function is that of evaluation seed `index`.
        optimizers: at least one, each with the task's groups where it needs them (`for_groups`).
        steps: where responses are recorded, counted from 1, from 2 on; a twentieth of the horizon, a quarter and its
            end unless given.
        coordinate: by its number; the one with the largest mean square gradient unless given.
        index: of the evaluation seed.

    Returns:
        The updates along the trajectory, and the responses to other gradients.

    Raises:
        UpdatesError: a step or the coordinate is not there, or the trajectory is not finite.
    """
    steps = [max(2, task.horizon // 20), max(2, task.horizon // 4), task.horizon] if steps is None else steps
    if wrong := [step for step in steps if not 2 <= step <= task.horizon]:
        raise UpdatesError(f"step must be from 2 to {task.horizon}, the horizon of {identify(task)}, got {wrong[0]}")
    trajectory = _follow(task, optimizers[0], coordinate, index)
    history, responses = [], []
    for optimizer in optimizers:
        name, learned = identify(optimizer), isinstance(optimizer, LearnedOptimizer)
        before: State = {}
        state = optimizer.init(trajectory.params[0])
        for step, grads in enumerate(trajectory.grads, 1):
            if step in steps:
                rows = _compute_responses(optimizer, before, trajectory, step)
                responses += [{"optimizer": name, "step": step, **row} for row in rows]
            before = copy.deepcopy(state) if step + 1 in steps else {}
            updates, state = trajectory.update(optimizer, state, step, grads)
            gradient, update = _entry(grads, trajectory.coordinate), _entry(updates, trajectory.coordinate)
            about = {"optimizer": name, "learned": learned, "step": step}
            history.append({**about, "gradient": gradient, "update": update})
    place = _place(trajectory.params[0], trajectory.coordinate)
    return Proposals(trajectory.coordinate, place, pd.DataFrame(history), pd.DataFrame(responses))


def _follow(task: Task, leader: Optimizer, coordinate: int | None, index: int) -> _Trajectory:
    problems = Problems(task, [derive_seed("evaluation", identify_functions(task), index)])
    carry = start(problems, leader)
    grads, params, losses = [], [], []
    for _ in range(task.horizon):
        if not all(value.isfinite().all() for value in (*carry.grads.values(), *carry.params.values())):
            raise UpdatesError(
                f"{identify(leader)}, the first optimizer, diverges on {identify(task)} by step {carry.step}. "
                "Try: a lower learning rate, or a shorter horizon"
            )
        grads.append(carry.grads)
        params.append(carry.params)
        losses.append(carry.losses)
        carry = advance(problems, leader, carry)
    squares = torch.stack([flatten(items).square() for items in grads]).mean(0)
    if coordinate is None:
        coordinate = int(squares.argmax())
    elif not 0 <= coordinate < len(squares):
        raise UpdatesError(f"coordinate of {identify(task)} must be from 0 to {len(squares) - 1}, got {coordinate}")
    return _Trajectory(grads, params, losses, coordinate)


def _compute_responses(
    optimizer: Optimizer, before: State, trajectory: _Trajectory, step: int
) -> Iterator[dict[str, float | str]]:
    """Updates at a step for gradients of up to three times the recent root mean square, after two pasts.

    `before` is the optimizer's state two gradients ago.
    """
    gradients, at = trajectory.gradients, trajectory.coordinate
    recent = float(np.sqrt(np.mean(np.square(gradients[max(0, step - RECENT) : step]))))
    for past, sign in ((AS_IT_WAS, 1), (SIGN_TURNED, -1)):
        last = _with(trajectory.grads[step - 2], at, sign * gradients[step - 2])
        _, state = trajectory.update(optimizer, copy.deepcopy(before), step - 1, last)
        for gradient in np.linspace(-3 * recent, 3 * recent, POINTS):
            asked = _with(trajectory.grads[step - 1], at, float(gradient))
            updates, _ = trajectory.update(optimizer, copy.deepcopy(state), step, asked)
            yield {"before": past, "gradient": float(gradient), "update": _entry(updates, at)}


def _entry(tensors: Tensors, coordinate: int) -> float:
    return float(flatten(tensors)[coordinate])


def _place(tensors: Tensors, coordinate: int) -> str:
    for name, value in tensors.items():
        if coordinate < value.numel():
            index = np.unravel_index(coordinate, value.shape[2:])
            return f"{name}[{','.join(map(str, index))}]" if value.ndim > 2 else name
        coordinate -= value.numel()
    raise IndexError(coordinate)


def _with(tensors: Tensors, coordinate: int, value: float) -> Tensors:
    """The tensors with one entry replaced."""
    row = flatten(tensors)
    row[coordinate] = value
    return unflatten(row, tensors)
