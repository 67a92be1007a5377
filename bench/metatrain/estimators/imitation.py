"""A warm start: the gradient of the distance to a hand-designed optimizer's updates."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState
from l2obench.bench.metatrain.estimators.tape import SegmentTape, choose
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import evaluate_loss
from l2obench.optimizers.base import Optimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


@dataclass(frozen=True)
class ImitationState(UnrollState):
    """A walk on which a teacher is asked at every step."""

    teacher: State = field(default_factory=dict)
    """The teacher's state, which has seen the same gradients as the learner's."""


@dataclass(frozen=True, kw_only=True)
class Imitation(Estimator):
    """∂/∂φ of the mean of d(u, v) = ‖u − v‖² / (‖u‖² + ‖v‖²) over steps, functions and parameter tensors.

    u is the rule's update and v the teacher's, from the same gradients; d is 0 where they agree, 1 where they are
    orthogonal or one of them is nothing, 2 where they are opposite, and tells small updates from each other as well as
    large ones. In each segment a fair coin says whose updates are applied, so that the rule also learns what to do
    where it leads itself (Ross et al. 2011, *A reduction of imitation learning and structured prediction to no-regret
    online learning*; with learned optimizers Chen et al. 2020, *Training stronger baselines for learning to optimize*).
    Gradients of the optimizee are held constant; its losses and the weights of its steps have no part.
    """

    teacher: Optimizer
    coordinates: int | None = None
    """Coordinates of each parameter tensor and function that are followed back to φ; None: all."""

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        walk = super().begin(problems, rule, random)
        carry, teacher = walk.carry, self.teacher.init(walk.carry.params)
        return ImitationState(
            carry, walk.met, teacher=self.teacher.observe(teacher, carry.losses, problems.task.horizon)
        )

    @torch.no_grad()
    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        assert isinstance(walk, ImitationState)
        carry, teacher = walk.carry, walk.teacher
        learner_leads = bool(torch.rand((), generator=random) < 0.5)
        tape = SegmentTape(
            rule, carry, problems.task.horizon, choose(carry.params, self.coordinates, random, walk.share)
        )
        met, targets = [], []
        for _ in weights:
            wanted, teacher = self.teacher.update(carry.grads, teacher, carry.params)
            updates, state = rule.update(carry.grads, carry.state, carry.params)
            slopes = relative_distance_slopes(updates, wanted)
            targets.append(tape.targets({name: slope / len(weights) for name, slope in slopes.items()}))
            applied = updates if learner_leads else wanted
            params = {name: value + applied[name] for name, value in carry.params.items()}
            carry = evaluate_loss(problems, params, state, carry.buffers, carry.step + 1, rule)
            teacher = self.teacher.observe(teacher, carry.losses, problems.task.horizon)
            tape.record(carry)
            met.append(carry.losses)
        losses = torch.stack(met, dim=-1)
        with torch.enable_grad():
            meta_grads = tape.pulled_back(rule, targets)
        return Estimate(replace(walk, carry=carry, met=walk.met.after(losses), teacher=teacher), losses, meta_grads)


def relative_distance_slopes(updates: Tensors, wanted: Tensors) -> Tensors:
    """∂/∂u of the mean of d(u, v) over replicas and tensors, both `[seeds, settings, ...]`: with N / S for d,
    2 (u − v) / S − 2 u N / S²."""
    slopes = {}
    for name, target in wanted.items():
        update = updates[name]
        squares = _sum_of_squares(update) + _sum_of_squares(target)
        difference = update - target
        share = _sum_of_squares(difference) / squares
        slope = 2 * (difference - update * share) / squares
        slopes[name] = torch.where(squares > 0, slope, 0.0) / (len(wanted) * squares.numel())
    return slopes


def _sum_of_squares(value: Tensor) -> Tensor:
    """Of each replica, `[seeds, settings, 1, …]`."""
    return value.square().reshape(*value.shape[:2], -1).sum(-1).view(*value.shape[:2], *[1] * (value.ndim - 2))
