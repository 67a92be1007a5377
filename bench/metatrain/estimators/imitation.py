"""A warm start: the gradient of the distance to a hand-designed optimizer's updates."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState
from l2obench.bench.metatrain.estimators.tape import SegmentTape, sample_coordinates
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import evaluate_loss
from l2obench.optimizers.base import Optimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


@dataclass(frozen=True)
class ImitationState(UnrollState):
    """The state of a trajectory on which a teacher proposes an update at every step."""

    teacher: State = field(default_factory=dict)
    """The teacher's optimizer state, which has seen the same gradients as the learner's."""


@dataclass(frozen=True, kw_only=True)
class Imitation(Estimator):
    """∂/∂φ of the mean of d(u, v) = ‖u − v‖² / (‖u‖² + ‖v‖²) over steps, functions and parameter tensors.

    u is the rule's update and v the teacher's, from the same gradients. d is 0 where they agree, 1 where they are
    orthogonal or one of them is zero, 2 where they are opposite. It compares small updates as well as large ones. In
    each segment a fair coin decides whose updates are applied, so that the rule also learns what to do in states that
    it reaches itself. Gradients of the optimizee are held constant. Its losses and the weights of its steps have no
    part.

    Source: Ross et al. 2011, *A reduction of imitation learning and structured prediction to no-regret online
    learning*; with learned optimizers Chen et al. 2020, *Training stronger baselines for learning to optimize*.
    """

    teacher: Optimizer
    coordinates: int | None = None
    """Coordinates of each parameter tensor and function that are backpropagated through; None: all."""

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        first = super().begin(problems, rule, random)
        teacher = self.teacher.observe(self.teacher.init(first.carry.params), first.carry.losses, problems.task.horizon)
        return ImitationState(first.carry, first.history, teacher=teacher)

    @torch.no_grad()
    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        assert isinstance(unroll_state, ImitationState)
        carry, teacher, horizon = unroll_state.carry, unroll_state.teacher, problems.task.horizon
        apply_own = bool(torch.rand((), generator=random) < 0.5)
        sample = sample_coordinates(carry.params, self.coordinates, random, unroll_state.shard)
        tape = SegmentTape(rule, carry, horizon, sample)
        losses_by_step, targets = [], []
        for _ in weights:
            teacher_updates, teacher = self.teacher.update(carry.grads, teacher, carry.params)
            updates, state = rule.update(carry.grads, carry.state, carry.params)
            slopes = relative_distance_slopes(updates, teacher_updates)
            targets.append(tape.targets({name: slope / len(weights) for name, slope in slopes.items()}))
            applied = updates if apply_own else teacher_updates
            params = {name: value + applied[name] for name, value in carry.params.items()}
            carry = evaluate_loss(problems, params, state, carry.buffers, carry.step + 1, rule)
            teacher = self.teacher.observe(teacher, carry.losses, horizon)
            tape.record(carry)
            losses_by_step.append(carry.losses)
        losses = torch.stack(losses_by_step, dim=-1)
        with torch.enable_grad():
            meta_grads = tape.pull_back(rule, targets)
        after = replace(unroll_state, carry=carry, history=unroll_state.history.after(losses), teacher=teacher)
        return Estimate(after, losses, meta_grads)


def relative_distance_slopes(updates: Tensors, teacher_updates: Tensors) -> Tensors:
    """∂/∂u of the mean of d(u, v) over replicas and tensors.

    With d = N / S, N = ‖u − v‖² and S = ‖u‖² + ‖v‖², it is 2 (u − v) / S − 2 u N / S².

    Args:
        updates: u, `[functions, settings, ...]` for each parameter.
        teacher_updates: v, of the same shapes.

    Returns:
        The slope for each coordinate, of the same shapes; zero where both updates are.
    """
    slopes = {}
    for name, target in teacher_updates.items():
        update = updates[name]
        squares = _sum_of_squares(update) + _sum_of_squares(target)
        difference = update - target
        distance = _sum_of_squares(difference) / squares
        slope = 2 * (difference - update * distance) / squares
        slopes[name] = torch.where(squares > 0, slope, 0.0) / (len(teacher_updates) * squares.numel())
    return slopes


def _sum_of_squares(value: Tensor) -> Tensor:
    """Of each replica, `[functions, settings, 1, …]`."""
    return value.square().reshape(*value.shape[:2], -1).sum(-1).view(*value.shape[:2], *[1] * (value.ndim - 2))
