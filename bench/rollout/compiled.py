"""`--compile`: steps of a rollout as one program, which `torch.compile` makes once for each shape.

Where steps are short, the way in and out of a program is what costs: there the program is the loop over the steps.
A rule whose updates are faster as they stand (`Optimizer.compiled_up_to`) leaves it the gradient.
Numbers are those of the plain rollout up to rounding, which a chaotic trajectory may amplify.
"""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._higher_order_ops.while_loop import while_loop
from torch.utils._pytree import tree_leaves, tree_map_only

from l2obench.optimizers.base import Optimizer, State
from l2obench.tasks.base import Gradient, Task, Tensors

# Coordinates of all replicas together up to which a step is short: calling the program then costs more than the step.
SHORT = 10_000
# Programs of one process. torch gives up compiling after 8 unless this limit is set.
PROGRAMS = 1000
# Steps of a program at most.
MOST_STEPS = 100
# The same where each step has a minibatch of its own: those of all steps of a program are in memory at once.
MOST_STEPS_WITH_MINIBATCHES = 10
# Steps in one turn of the compiled loop: more of them take longer to compile, fewer pay for the turn more often.
UNROLLED = 5


class Program:
    """A program of `steps` steps, each an update and a gradient.

    Args:
        task: gives the gradient; its horizon should be a multiple of `steps`.
        optimizer: the rule.
        params: stacked parameters; their size decides whether steps are short.
    """

    def __init__(self, task: Task, optimizer: Optimizer, params: Tensors) -> None:
        own = task.compiled_loss_and_grad()
        coordinates = sum(value.numel() for value in params.values())
        compiles = own is None and coordinates <= optimizer.compiled_up_to
        short = coordinates <= SHORT
        self.steps = (
            _choose_steps(task.horizon, MOST_STEPS_WITH_MINIBATCHES if _draws(task) else MOST_STEPS)
            if compiles and short
            else 1
        )
        self._compiles, self._whole = compiles, self.steps > 1
        self._optimizer = optimizer
        self._horizon = task.horizon
        self._step = compiled_step() if compiles else _step
        self._gradient: Gradient = own or task.loss_and_grad
        if own is None and not compiles and not short:
            self._gradient = partial(compiled_gradient(), task)

    def __call__(
        self, params: Tensors, state: State, grads: Tensors, batches: Tensors
    ) -> tuple[Tensors, State, Tensors, Tensor]:
        """Take the steps. A rule that torch cannot follow from end to end is called step by step.

        Args:
            params: θ, `[seeds, settings, ...]` each.
            state: the optimizer's state.
            grads: ∇f(θ), like `params`.
            batches: a minibatch for each step, `[steps, seeds, ...]` each.

        Returns:
            θ, state and gradient after the last step, and the losses of each step, `[steps, seeds, settings]`.
        """
        after, recorded = _counts_as_tensors(state) if self._compiles else state, []
        if self._whole and all(isinstance(value, Tensor) for value in tree_leaves(after)):
            try:
                loop = compiled_loop()
                params, after, grads, losses = loop(
                    self._optimizer, self._gradient, self._horizon, params, after, grads, batches
                )
                return params, _counts_as_numbers(after, state), grads, losses
            except TorchDynamoException:
                self._whole = False
        for k in range(self.steps):
            batch = {name: value[k] for name, value in batches.items()}
            params, after, grads, losses = self._step(
                self._optimizer, self._gradient, self._horizon, params, after, grads, batch
            )
            recorded.append(losses)
        return params, _counts_as_numbers(after, state), grads, torch.stack(recorded)


def _step(
    optimizer: Optimizer,
    gradient: Gradient,
    horizon: int,
    params: Tensors,
    state: State,
    grads: Tensors,
    batch: Tensors,
) -> tuple[Tensors, State, Tensors, Tensor]:
    updates, state = optimizer.update(grads, state, params)
    params = {name: value + updates[name] for name, value in params.items()}
    losses, grads = gradient(params, batch)
    return params, optimizer.observe(state, losses, horizon), grads, losses


def _gradient(task: Task, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
    return task.loss_and_grad(params, batch)


def _loop(
    optimizer: Optimizer,
    gradient: Gradient,
    horizon: int,
    params: Tensors,
    state: State,
    grads: Tensors,
    batches: Tensors,
) -> tuple[Tensors, State, Tensors, Tensor]:
    steps = len(next(iter(batches.values())))
    unrolled = min(UNROLLED, steps)
    first = next(iter(params.values()))

    def unfinished(k: Tensor, *_: Any) -> Tensor:
        return k < steps

    def turn(k: Tensor, params: Tensors, state: State, grads: Tensors, recorded: Tensor) -> tuple[Any, ...]:
        state = _own(state)  # a rule may write into it
        losses = []
        for ahead in range(unrolled):
            batch = {name: _at(value, k + ahead) for name, value in batches.items()}
            params, state, grads, step_losses = _step(optimizer, gradient, horizon, params, state, grads, batch)
            losses.append(step_losses)
        recorded = recorded.index_copy(0, (k // unrolled).view(1), torch.stack(losses).unsqueeze(0))
        return k + unrolled, *_own((params, state, grads)), recorded

    begin = (torch.zeros((), dtype=torch.int64, device=first.device), *_own((params, state, grads)))
    _, *after, recorded = while_loop(  # type: ignore[no-untyped-call]
        unfinished, turn, (*begin, first.new_zeros(steps // unrolled, unrolled, *first.shape[:2]))
    )
    return (*after, recorded.flatten(0, 1))


def _draws(task: Task) -> bool:
    return bool(task.draw(torch.Generator(), 1))


def _choose_steps(horizon: int, most: int) -> int:
    """The number of steps, `most` or somewhat fewer, of which a multiple comes nearest to the horizon.

    Whole turns of the loop; one turn, where the horizon is less.
    """
    turns = min(most, horizon) // UNROLLED
    if turns == 0:
        return max(1, min(most, horizon))
    return min(range(turns * UNROLLED, turns * UNROLLED // 2 - 1, -UNROLLED), key=lambda steps: horizon % steps)


def _at(values: Tensor, k: Tensor) -> Tensor:
    """One of the minibatches; where all are the same memory, it."""
    return values[0] if values.stride(0) == 0 else values.index_select(0, k.view(1))[0]


def _own(tree: Any) -> Any:
    """The tensors of a tree in memory of their own, which is what a loop hands on."""
    return tree_map_only(Tensor, lambda tensor: tensor.clone(memory_format=torch.contiguous_format), tree)


@cache
def compiled_step() -> Any:
    """Give `_step` compiled: torch makes a program for every rule, task and shape that it is called with."""
    _allow_many_programs()
    return torch.compile(_step, dynamic=False)


@cache
def compiled_gradient() -> Any:
    """Give a task's `loss_and_grad` compiled."""
    _allow_many_programs()
    return torch.compile(_gradient, dynamic=False)


@cache
def compiled_loop() -> Any:
    """Give `_loop` compiled; a wrapper in C++ around the programs keeps Python out of the loop."""
    _allow_many_programs()
    return torch.compile(_loop, dynamic=False, fullgraph=True, options={"cpp_wrapper": True})


def _allow_many_programs() -> None:
    torch._dynamo.config.recompile_limit = PROGRAMS
    torch._dynamo.config.accumulated_recompile_limit = PROGRAMS


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
    """What was a number before is one again. After its first step a rule may remember more than before."""
    return {
        key: _counts_as_numbers(value, like.get(key, {}))
        if isinstance(value, dict)
        else int(value)
        if isinstance(like.get(key), int)
        else value
        for key, value in state.items()
    }
