"""The rollout: many replicas of optimizees stepped together, for the matrix and for meta-training alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.failures import from_model
from l2obench.bench.rollout.heldout import HeldOutCurve, evaluation_steps
from l2obench.bench.rollout.memory import default_budget, seeds_that_fit
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import (
    Carry,
    advance_compiled,
    advance_guarded,
    evaluation_point,
    require_evaluation,
    start,
)
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.fused.rule import fused
from l2obench.tasks.base import Task, Tensors

if TYPE_CHECKING:
    from l2obench.bench.rollout.compiled import Program

# Six orders of magnitude leave room for a large first step that recovers. A loss beyond them counts as diverged,
# although it may still be finite.
DIVERGED_FACTOR = 1e6
DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Trajectories:
    """What a rollout returns, for every seed × setting."""

    losses: Tensor
    """f(θ_0) … f(θ_T), `[seeds, settings, steps + 1]`; infinite from the step of divergence on."""
    diverged_at: Tensor
    """The first step with a loss that is not finite or exploded, `[seeds, settings]`; -1 where there is none."""
    heldout: Tensors
    """The task's held-out metrics at θ_T, `[seeds, settings]` each."""
    heldout_steps: list[int]
    """Steps at which held-out metrics were taken, the last one T."""
    heldout_curves: Tensors
    """The metrics there, `[seeds, settings, points]` each."""
    state_bytes: int
    """Memory of the optimizer's state, bytes a replica."""
    function_hashes: list[str] = field(default_factory=list)
    """Of each seed, where asked for: a hash of the function and of its minibatches."""
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
    heldout_points: int = 0,
    on_step: Callable[[], Any] | None = None,
    snapshots: int = 0,
    prove: bool = False,
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
        options: `device`, `compile`, `fused` and `memory` are used here.
        dtype: of parameters, data and losses.
        evaluate: whether the held-out metrics are computed at the end.
        heldout_points: how often they are computed before, evenly spaced. The losses do not depend on it.
        on_step: called after each step, or after each program of several steps.
        prove: hash what each seed gives to the optimizer.
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
    if options.uses_fused_steps:
        optimizer = fused(optimizer)
    budget = default_budget(options.device) if options.memory is None else options.memory
    with from_model:
        at_once = seeds_that_fit(task, optimizer, settings, budget) if len(seeds) > 1 else 1
    parts = [
        _rollout(
            Problems(task, seeds[first : first + at_once], options.device, dtype, prove=prove),
            optimizer,
            settings,
            evaluation=evaluation_steps(task.horizon, heldout_points) if evaluate else [],
            on_step=on_step,
            snapshots=max(0, min(at_once, snapshots - first)),
            compile=options.compile,
        )
        for first in range(0, len(seeds), at_once)
    ]
    return parts[0] if len(parts) == 1 else _join(parts)


def _rollout(
    problems: Problems,
    optimizer: Optimizer,
    settings: int,
    *,
    evaluation: Sequence[int],
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
    pictures = _take_pictures(task, optimizer, carry, snapshots)
    heldout = HeldOutCurve(task, optimizer, evaluation)
    heldout.take(carry)
    program = _make_program(task, optimizer, carry) if compile and not carry.buffers else None
    stops = {*(task.snapshot_steps if snapshots else ()), task.horizon}
    while carry.step < task.horizon:
        if program is None or min(stop for stop in stops if stop > carry.step) < carry.step + program.steps:
            carry = advance_guarded(problems, optimizer, carry)
            losses[..., carry.step] = carry.losses
        else:
            carry, recorded = advance_compiled(problems, program, carry)
            losses[..., carry.step - program.steps + 1 : carry.step + 1] = recorded.movedim(0, -1)
        pictures |= _take_pictures(task, optimizer, carry, snapshots)
        heldout.take(carry)
        if on_step is not None:
            on_step()
    trajectories, diverged_at = mark_divergence(losses)
    with from_model:
        state_bytes = int(optimizer.state_bytes(carry.state))
    return Trajectories(
        losses=trajectories.cpu(),
        diverged_at=diverged_at.cpu(),
        heldout=heldout.last,
        heldout_steps=heldout.steps,
        heldout_curves=heldout.curves,
        function_hashes=problems.function_hashes(),
        state_bytes=state_bytes // max(1, trajectories[..., 0].numel()),
        pictures=pictures,
    )


def _make_program(task: Task, optimizer: Optimizer, carry: Carry) -> "Program":
    # Imported only here, since it brings torch's compiler with it.
    from l2obench.bench.rollout.compiled import Program

    return Program(task, optimizer, carry.params)


def _join(parts: list[Trajectories]) -> Trajectories:
    """The trajectories of all seeds, in their order."""
    steps = dict.fromkeys(step for part in parts for step in part.pictures)
    return Trajectories(
        losses=torch.cat([part.losses for part in parts]),
        diverged_at=torch.cat([part.diverged_at for part in parts]),
        heldout=_join_tensors([part.heldout for part in parts]),
        heldout_steps=parts[0].heldout_steps,
        heldout_curves=_join_tensors([part.heldout_curves for part in parts]),
        function_hashes=[digest for part in parts for digest in part.function_hashes],
        state_bytes=parts[0].state_bytes,
        pictures={step: torch.cat([part.pictures[step] for part in parts if step in part.pictures]) for step in steps},
    )


def _join_tensors(parts: list[Tensors]) -> Tensors:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def mark_divergence(losses: Tensor) -> tuple[Tensor, Tensor]:
    """Find where replicas diverge.

    Args:
        losses: `[..., steps + 1]`.

    Returns:
        The losses, infinite from divergence on, and its step, `[...]`; -1 where there is none.

    Example:
        >>> losses, diverged_at = mark_divergence(torch.tensor([[1.0, 0.5, 0.2], [1.0, torch.nan, 0.3]]))
        >>> losses.tolist()
        [[1.0, 0.5, 0.20000000298023224], [1.0, inf, inf]]
        >>> diverged_at.tolist()
        [-1, 1]
    """
    # 1 is added since some losses begin at 0 or are negative.
    bound = DIVERGED_FACTOR * (1 + losses[..., :1].abs())
    # Comparisons with a loss that is not a number are false, so it is no good one.
    good = losses.abs() <= bound
    if good.all():
        return losses, torch.full(losses.shape[:-1], -1, device=losses.device)
    bad = ~good
    diverged_at = torch.where(bad.any(-1), bad.int().argmax(-1), -1)
    return losses.masked_fill(bad.cumsum(-1) > 0, torch.inf), diverged_at


def _take_pictures(task: Task, optimizer: Optimizer, carry: Carry, snapshots: int) -> dict[int, Tensor]:
    """The pictures of a step, if it is one of those that the task names."""
    if snapshots < 1 or carry.step not in task.snapshot_steps:
        return {}
    point = evaluation_point(optimizer, carry)
    with from_model:
        return {carry.step: task.picture({name: value[:snapshots] for name, value in point.items()}).cpu()}
