"""`--compile`: steps of a rollout as one program, which `torch.compile` makes once for each shape.

Short steps are unrolled, several to a program, since then the way in and out of it is what costs. Numbers are those of
the plain rollout up to rounding, which a chaotic trajectory may amplify.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optimizers.base import Optimizer, State
from tasks.base import Gradient, Task, Tensors

UNROLLED = 10
SHORT = 100_000  # coordinates, all replicas together, up to which a step is short
PROGRAMS = 1000  # of one process; torch gives up at 8 unless told otherwise


class Program:
    """Update and gradient of `steps` steps.

    Args:
        task: gives the gradient.
        optimizer: the rule.
        params: stacked parameters; their size decides how many steps are unrolled.
    """

    def __init__(self, task: Task, optimizer: Optimizer, params: Tensors) -> None:
        torch._dynamo.config.recompile_limit = PROGRAMS
        torch._dynamo.config.accumulated_recompile_limit = PROGRAMS
        own = task.compiled_loss_and_grad()
        short = own is None and sum(value.numel() for value in params.values()) <= SHORT
        self.steps = UNROLLED if short else 1
        self._optimizer = optimizer
        self._gradient: Gradient = task.loss_and_grad if own is None else own
        self._run: Any = _steps if own is not None else torch.compile(_steps, dynamic=False)

    def __call__(
        self, params: Tensors, state: State, grads: Tensors, batches: Sequence[Tensors]
    ) -> tuple[Tensors, State, Tensors, Tensor]:
        """θ, state and gradient after a step on each of `batches`, and the losses met, `[seeds, settings, steps]`."""
        params, after, grads, losses = self._run(
            self._optimizer, self._gradient, params, _counts_as_tensors(state), grads, list(batches)
        )
        return params, _counts_as_numbers(after, state), grads, losses


def _steps(
    optimizer: Optimizer, gradient: Gradient, params: Tensors, state: State, grads: Tensors, batches: list[Tensors]
) -> tuple[Tensors, State, Tensors, Tensor]:
    met = []
    for batch in batches:
        updates, state = optimizer.update(grads, state, params)
        params = {name: value + updates[name] for name, value in params.items()}
        losses, grads = gradient(params, batch)
        met.append(losses)
    return params, state, grads, torch.stack(met, dim=-1)


def _counts_as_tensors(state: State) -> State:
    """Counts of steps become tensors: a number that changes with every step would ask for a program for every step."""
    return {
        key: _counts_as_tensors(value)
        if isinstance(value, dict)
        else torch.tensor(float(value), dtype=torch.float64)
        if isinstance(value, int)
        else value
        for key, value in state.items()
    }


def _counts_as_numbers(state: State, like: State) -> State:
    return {
        key: _counts_as_numbers(value, like[key])
        if isinstance(value, dict)
        else int(value)
        if isinstance(like[key], int)
        else value
        for key, value in state.items()
    }
