"""One step of a rollout, in two halves: the optimizer's update, then loss and gradient at the new parameters."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

from l2obench.bench.failures import from_model
from l2obench.bench.rollout.guard import Unchanged, require_like, require_own, require_tensor
from l2obench.bench.rollout.problems import Problems
from l2obench.foundation.tensors import tensors_of
from l2obench.optimizers.base import Optimizer, State
from l2obench.tasks.base import Tensors

if TYPE_CHECKING:
    from l2obench.bench.rollout.compiled import Program


@dataclass(frozen=True)
class Carry:
    """What a rollout carries from step to step. Loss and gradient at θ_t are already evaluated.

    Where an optimizer has an `evaluation_point`, the loss is the one there.
    """

    params: Tensors
    """θ_t, `[seeds, settings, ...]` each."""
    state: State
    """The optimizer's state, before the update at θ_t."""
    losses: Tensor
    """f(θ_t) on the minibatch of step t, `[seeds, settings]`."""
    grads: Tensors
    """∇f(θ_t) on the same minibatch, like `params`."""
    step: int
    """t, counted from 0."""
    buffers: Tensors = field(default_factory=dict)
    """What evaluations of the loss change and no optimizer sees, `[seeds, settings, ...]`; empty for most tasks."""


def start(problems: Problems, optimizer: Optimizer, settings: int = 1) -> Carry:
    """Start a rollout: θ₀ for every seed × setting, with its loss and gradient.

    Args:
        problems: one function for each seed.
        optimizer: the rule.
        settings: replicas of each function, which begin alike.

    Returns:
        The carry at step 0: the first minibatch is used, no update is made.

    Example:
        >>> from l2obench.optimizers.designed.sgd import SGD
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> carry = start(Problems(Quadratic(), seeds=[1, 2]), SGD(lr=0.01), settings=3)
        >>> tuple(carry.losses.shape), carry.step
        ((2, 3), 0)
    """
    params = {name: _fan_out(value, settings) for name, value in problems.start.items()}
    with from_model:
        state = optimizer.init(params)
    return evaluate_loss(problems, params, state, make_buffers(problems, settings), 0, optimizer)


def make_buffers(problems: Problems, settings: int = 1) -> Tensors:
    """Make the buffers before any evaluation, for every seed × setting.

    Args:
        problems: one function for each seed.
        settings: replicas of each function.

    Returns:
        `[seeds, settings, ...]` each; empty for tasks without buffers.
    """
    return {name: _fan_out(value, settings) for name, value in problems.buffers.items()}


def advance(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """Take one step: update with the gradient at θ_t, then evaluate loss and gradient at θ_{t+1}.

    Nothing is compared with the contracts; autograd can pass through it.

    Args:
        problems: the functions.
        optimizer: the rule.
        carry: that of step t.

    Returns:
        The carry of step t + 1.
    """
    params, state = apply_update(optimizer, carry)
    return evaluate_loss(problems, params, state, carry.buffers, carry.step + 1, optimizer)


def apply_update(optimizer: Optimizer, carry: Carry) -> tuple[Tensors, State]:
    """Take the first half of a step.

    Args:
        optimizer: the rule.
        carry: θ_t with its gradient and state.

    Returns:
        θ_{t+1} = θ_t + u_t, and the optimizer's next state.
    """
    with from_model:
        updates, state = optimizer.update(carry.grads, carry.state, carry.params)
        return {name: value + updates[name] for name, value in carry.params.items()}, state


def evaluate_loss(
    problems: Problems,
    params: Tensors,
    state: State,
    buffers: Tensors,
    step: int,
    optimizer: Optimizer | None = None,
) -> Carry:
    """Take the second half of a step: loss and gradient at θ on the next minibatch, and the buffers after it.

    Args:
        problems: the functions.
        params: θ, `[seeds, settings, ...]` each.
        state: the optimizer's state at θ.
        buffers: those before the evaluation.
        step: the step's number.
        optimizer: if given, it observes the loss, which is then that at its `evaluation_point`. The record pays for
            that evaluation; the step time does not contain it.

    Returns:
        The carry at this step.
    """
    with from_model:
        point = None if optimizer is None else optimizer.evaluation_point(params, state)
    losses, grads, buffers = problems.loss_grad_and_buffers(params, buffers, point)
    carry = Carry(params, state, losses, grads, step, buffers)
    return carry if optimizer is None else observe(problems, optimizer, carry)


def observe(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """Let the optimizer observe the loss and the horizon, which some need beyond the gradient.

    Args:
        problems: their task has the horizon.
        optimizer: the rule.
        carry: the losses `[seeds, settings]` at this step.

    Returns:
        The same carry, with the optimizer's next state.
    """
    with from_model:
        state = optimizer.observe(carry.state, carry.losses, problems.task.horizon)
    return carry if state is carry.state else replace(carry, state=state)


def evaluation_point(optimizer: Optimizer, carry: Carry) -> Tensors:
    """The parameters that a user would evaluate: θ_t, or the average of a rule that averages its iterates.

    Args:
        optimizer: the rule.
        carry: θ_t and the optimizer's state.

    Returns:
        `[seeds, settings, ...]` each.
    """
    with from_model:
        point = optimizer.evaluation_point(carry.params, carry.state)
    return carry.params if point is None else point


def advance_guarded(problems: Problems, optimizer: Optimizer, carry: Carry) -> Carry:
    """Take one step, with both halves held to their contracts. θ_{t+1} takes the memory of the updates.

    Args:
        problems: the functions.
        optimizer: the rule.
        carry: that of step t. Its tensors are read only.

    Returns:
        The carry of step t + 1.

    Raises:
        ContractBroken: shapes or inputs were changed.
    """
    # Comparing values takes as long as a small step; torch's own count of writes is free, and serves from then on.
    first = carry.step == 0
    inputs = Unchanged({"grads": carry.grads, "params": carry.params}, thorough=first)
    with from_model:
        updates, state = optimizer.update(carry.grads, carry.state, carry.params)
    inputs.require_unchanged("update")
    require_like("update", updates, carry.params)
    # θ₁ lies in the memory of the first updates: a rule that kept them would hand them out again on the second step.
    if carry.step < 2:
        require_own("update", updates, [*carry.params.values(), *tensors_of(state)])
    params = {name: _add(value, updates[name]) for name, value in carry.params.items()}
    inputs = Unchanged({"params": params, "buffers": carry.buffers}, thorough=first)
    following = evaluate_loss(problems, params, state, carry.buffers, carry.step + 1, optimizer)
    inputs.require_unchanged("loss_and_grad")
    require_evaluation(following)
    require_like("loss_and_buffers", following.buffers, carry.buffers)
    return following


def advance_compiled(problems: Problems, program: "Program", carry: Carry) -> tuple[Carry, Tensor]:
    """Take as many steps as a compiled program takes at once.

    Args:
        problems: the functions; as many minibatches are taken as there are steps.
        program: the compiled steps.
        carry: that of the step before; without buffers.

    Returns:
        The carry after them, and the losses of each, `[steps, seeds, settings]`.
    """
    batches = problems.minibatches(program.steps)
    params, state, grads, losses = program(carry.params, carry.state, carry.grads, batches)
    return Carry(params, state, losses[-1], grads, carry.step + program.steps), losses


def require_evaluation(carry: Carry) -> None:
    """Refuse losses and gradients of other shapes than the parameters imply.

    Args:
        carry: with `losses` and `grads` as the task returned them.

    Raises:
        ContractBroken: they have others.
    """
    first = next(iter(carry.params.values()))
    require_tensor("loss_and_grad returned the losses", carry.losses, tuple(first.shape[:2]), first.dtype)
    require_like("loss_and_grad", carry.grads, carry.params)


def _add(value: Tensor, update: Tensor) -> Tensor:
    """θ + u in the memory of the update, unless that would change the layout."""
    return update.add_(value) if update.is_contiguous() else value + update


def _fan_out(value: Tensor, settings: int) -> Tensor:
    return value.unsqueeze(1).expand(value.shape[0], settings, *value.shape[1:]).contiguous()
