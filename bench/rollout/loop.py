"""The rollout: many replicas of optimizees stepped together, for the matrix and for meta-training alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.rollout.guard import Unchanged, require_like, require_own, require_tensor
from l2obench.bench.rollout.memory import default_budget, seeds_that_fit
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.base import Optimizer, State, tensors_of
from l2obench.tasks.base import Task, Tensors

if TYPE_CHECKING:
    from l2obench.bench.rollout.compiled import Program

# Six orders of magnitude leave room for a large first step that recovers. A loss beyond them counts as diverged,
# although it may still be finite.
DIVERGED_FACTOR = 1e6
DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Carry:
    """Where a rollout stands: θ_t, the optimizer's state, and the loss and gradient at θ_t, already evaluated.

    Where an optimizer has an `evaluation_point`, the loss is the one there.
    """

    params: Tensors
    state: State
    losses: Tensor
    grads: Tensors
    step: int
    buffers: Tensors = field(default_factory=dict)
    """What evaluations of the loss change and no optimizer sees, `[seeds, settings, ...]`; empty for most tasks."""


def start(problems: Problems, optimizer: Optimizer, settings: int = 1) -> Carry:
    """θ₀ for every seed × setting, `[seeds, settings, ...]`, with its loss and gradient."""
    params = {name: _fan_out(value, settings) for name, value in problems.start.items()}
    return evaluated(problems, params, optimizer.init(params), first_buffers(problems, settings), 0, optimizer)


def first_buffers(problems: Problems, settings: int = 1) -> Tensors:
    """The buffers before any evaluation, for every seed × setting."""
    return {name: _fan_out(value, settings) for name, value in problems.buffers.items()}


def advance(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """One step: update with the gradient at θ_t, then evaluate loss and gradient at θ_{t+1} on the next minibatch."""
    params, state = updated(optimizer, carry)
    return evaluated(problems, params, state, carry.buffers, carry.step + 1, optimizer)


def updated(optimizer: Optimizer, carry: Carry) -> tuple[Tensors, State]:
    """The first half of a step: θ_{t+1}, and the optimizer's next state."""
    updates, state = optimizer.update(carry.grads, carry.state, carry.params)
    return {name: value + updates[name] for name, value in carry.params.items()}, state


def checked_advance(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """`advance`, with both halves held to their contracts; on the first step, values are compared as well.

    θ_{t+1} takes the memory of the updates.

    Raises:
        ContractBroken: shapes or inputs were changed.
    """
    first = carry.step == 0
    inputs = Unchanged({"grads": carry.grads, "params": carry.params}, thorough=first)
    updates, state = optimizer.update(carry.grads, carry.state, carry.params)
    inputs.require_unchanged("update")
    require_like("update", updates, carry.params)
    if carry.step < 2:  # θ₁ is an update: one that is kept comes back on the second step
        require_own("update", updates, [*carry.params.values(), *tensors_of(state)])
    params = {name: _sum(value, updates[name]) for name, value in carry.params.items()}
    inputs = Unchanged({"params": params, "buffers": carry.buffers}, thorough=first)
    following = evaluated(problems, params, state, carry.buffers, carry.step + 1, optimizer)
    inputs.require_unchanged("loss_and_grad")
    require_evaluation(following)
    require_like("loss_and_buffers", following.buffers, carry.buffers)
    return following


def compiled_advance(problems: Problems, program: "Program", carry: Carry) -> tuple[Carry, Tensor]:
    """As many steps as the program takes at once, and the losses met, `[steps, seeds, settings]`."""
    batches = problems.minibatches(program.steps)
    params, state, grads, met = program(carry.params, carry.state, carry.grads, batches)
    return Carry(params, state, met[-1], grads, carry.step + program.steps), met


def require_evaluation(carry: Carry) -> None:
    """Raise unless losses and gradients have the shapes that the parameters imply.

    Raises:
        ContractBroken: they do not.
    """
    first = next(iter(carry.params.values()))
    require_tensor("loss_and_grad returned the losses", carry.losses, tuple(first.shape[:2]), first.dtype)
    require_like("loss_and_grad", carry.grads, carry.params)


def evaluated(
    problems: Problems,
    params: Tensors,
    state: State,
    buffers: Tensors,
    step: int,
    optimizer: Optimizer | None = None,
) -> Carry:
    """The second half of a step: loss and gradient at θ on the next minibatch, and the buffers after it.

    Given the optimizer, it observes the loss, which is then that at its `evaluation_point`. The record pays for that
    evaluation; the clock does not.
    """
    point = None if optimizer is None else optimizer.evaluation_point(params, state)
    losses, grads, buffers = problems.loss_grad_and_buffers(params, buffers, point)
    carry = Carry(params, state, losses, grads, step, buffers)
    return carry if optimizer is None else observe(problems, optimizer, carry)


def observe(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """The same, with what the optimizer may need beyond the gradient in its state."""
    state = optimizer.observe(carry.state, carry.losses, problems.task.horizon)
    return carry if state is carry.state else replace(carry, state=state)


def evaluation_point(optimizer: Optimizer, carry: Carry) -> Tensors:
    """The parameters that a user would evaluate."""
    point = optimizer.evaluation_point(carry.params, carry.state)
    return carry.params if point is None else point


@dataclass(frozen=True)
class Trajectories:
    """What a rollout gave, for every seed × setting."""

    losses: Tensor
    """f(θ_0) … f(θ_T), `[seeds, settings, steps + 1]`; infinite from the step of divergence on."""
    diverged_at: Tensor
    """The first step with a loss that is not finite or exploded, `[seeds, settings]`; -1 where there is none."""
    heldout: Tensors
    """The task's held-out metrics at θ_T, `[seeds, settings]` each."""
    state_bytes: int
    """Memory of the optimizer's state, bytes a replica."""
    pictures: dict[int, Tensor] = field(default_factory=dict)
    """By step, `[snapshots, settings, 3, height, width]` uint8; none where the task has no pictures."""


@torch.no_grad()
def rollout(
    task: Task,
    optimizer: Optimizer,
    seeds: Sequence[int],
    settings: int = 1,
    *,
    options: RunOptions = DEFAULT_OPTIONS,
    dtype: torch.dtype = torch.float32,
    evaluate: bool = True,
    on_step: Callable[[], Any] | None = None,
    snapshots: int = 0,
) -> Trajectories:
    """Run `task.horizon` steps on one function for each seed, times `settings` of a `stacked` optimizer.

    A loss that is not finite, or 10⁶ times further from zero than at the start, marks its replica as diverged. The
    other replicas go on as if it were not there. Seeds that do not fit into memory together run after one another,
    which changes numbers by rounding at most.

    Args:
        task: the family of functions, and the horizon.
        optimizer: the rule. With several settings, `optimizer.stacked` has given its hyperparameters `[1, settings]`.
        seeds: one function is drawn from each (`derive_seed`).
        settings: replicas of each function.
        options: `device`, `compile` and `memory` are used here.
        dtype: of parameters, data and losses.
        evaluate: whether the held-out metrics are computed at the end.
        on_step: called after each step, or after each program of several steps.
        snapshots: pictures are kept of so many first seeds, where the task has pictures.

    Returns:
        The losses `[seeds, settings, steps + 1]` on the CPU, and what else there is to keep.

    Raises:
        ContractBroken: the task or the optimizer changed shapes or inputs.

    Example:
        >>> from l2obench.optimizers.designed.sgd import SGD
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> result = rollout(Quadratic(horizon=5), SGD(lr=0.01), seeds=[1, 2, 3])
        >>> tuple(result.losses.shape)
        (3, 1, 6)
        >>> bool((result.losses[..., -1] < result.losses[..., 0]).all())
        True
    """
    budget = default_budget(options.device) if options.memory is None else options.memory
    at_once = seeds_that_fit(task, optimizer, settings, budget) if len(seeds) > 1 else 1
    parts = [
        _rollout(
            Problems(task, seeds[first : first + at_once], options.device, dtype),
            optimizer,
            settings,
            evaluate=evaluate,
            on_step=on_step,
            snapshots=max(0, min(at_once, snapshots - first)),
            compile=options.compile,
        )
        for first in range(0, len(seeds), at_once)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _rollout(
    problems: Problems,
    optimizer: Optimizer,
    settings: int,
    *,
    evaluate: bool,
    on_step: Callable[[], Any] | None,
    snapshots: int,
    compile: bool,
) -> Trajectories:
    """The rollout of seeds that fit into memory together."""
    task = problems.task
    carry = start(problems, optimizer, settings)
    require_evaluation(carry)
    # One tensor from the start: small ones kept from step to step would break up the memory between large ones.
    losses = carry.losses.new_empty(*carry.losses.shape, task.horizon + 1)
    losses[..., 0] = carry.losses
    pictures = _pictures(task, optimizer, carry, snapshots)
    program = _program(task, optimizer, carry) if compile and not carry.buffers else None
    stops = {*(task.snapshot_steps if snapshots else ()), task.horizon}
    while carry.step < task.horizon:
        if program is None or min(stop for stop in stops if stop > carry.step) < carry.step + program.steps:
            carry = checked_advance(problems, optimizer, carry)
            losses[..., carry.step] = carry.losses
        else:
            carry, met = compiled_advance(problems, program, carry)
            losses[..., carry.step - program.steps + 1 : carry.step + 1] = met.movedim(0, -1)
        pictures |= _pictures(task, optimizer, carry, snapshots)
        if on_step is not None:
            on_step()
    trajectories, diverged_at = mark_divergence(losses)
    heldout = task.evaluate_with_buffers(evaluation_point(optimizer, carry), carry.buffers) if evaluate else {}
    return Trajectories(
        losses=trajectories.cpu(),
        diverged_at=diverged_at.cpu(),
        heldout={name: value.cpu() for name, value in heldout.items()},
        state_bytes=int(optimizer.state_bytes(carry.state)) // max(1, trajectories[..., 0].numel()),
        pictures=pictures,
    )


def _program(task: Task, optimizer: Optimizer, carry: Carry) -> "Program":
    from l2obench.bench.rollout.compiled import Program  # which brings torch's compiler with it

    return Program(task, optimizer, carry.params)


def _joined(parts: list[Trajectories]) -> Trajectories:
    """Those of all seeds, in their order."""
    steps = dict.fromkeys(step for part in parts for step in part.pictures)
    return Trajectories(
        losses=torch.cat([part.losses for part in parts]),
        diverged_at=torch.cat([part.diverged_at for part in parts]),
        heldout={name: torch.cat([part.heldout[name] for part in parts]) for name in parts[0].heldout},
        state_bytes=parts[0].state_bytes,
        pictures={step: torch.cat([part.pictures[step] for part in parts if step in part.pictures]) for step in steps},
    )


def mark_divergence(losses: Tensor) -> tuple[Tensor, Tensor]:
    """Losses `[..., steps + 1]` made infinite from divergence on, and its step (-1: none), `[...]`."""
    bound = DIVERGED_FACTOR * (1 + losses[..., :1].abs())
    good = losses.abs() <= bound  # nothing that is not a number is
    if good.all():
        return losses, torch.full(losses.shape[:-1], -1, device=losses.device)
    bad = ~good
    diverged_at = torch.where(bad.any(-1), bad.int().argmax(-1), -1)
    return losses.masked_fill(bad.cumsum(-1) > 0, torch.inf), diverged_at


def _pictures(task: Task, optimizer: Optimizer, carry: Carry, snapshots: int) -> dict[int, Tensor]:
    """The pictures of a step, if it is one of those that the task names."""
    if snapshots < 1 or carry.step not in task.snapshot_steps:
        return {}
    point = evaluation_point(optimizer, carry)
    return {carry.step: task.picture({name: value[:snapshots] for name, value in point.items()}).cpu()}


def _sum(value: Tensor, update: Tensor) -> Tensor:
    """In the memory of the update, unless that would change the layout."""
    return update.add_(value) if update.is_contiguous() else value + update


def _fan_out(value: Tensor, settings: int) -> Tensor:
    return value.unsqueeze(1).expand(value.shape[0], settings, *value.shape[1:]).contiguous()
