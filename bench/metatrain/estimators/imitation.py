"""A warm start: the gradient of the distance to a hand-designed optimizer's updates."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.metatrain.estimators.base import Estimate, Estimator, Walk
from bench.metatrain.gradient import require_gradients
from bench.metatrain.states import without_graph
from bench.problems import Problems
from bench.rollout import evaluated
from optimizers.base import Optimizer, State
from optimizers.learned import LearnedOptimizer
from tasks.base import Tensors


@dataclass(frozen=True)
class Lesson(Walk):
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

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> Walk:
        walk = super().begin(problems, rule, random)
        carry, teacher = walk.carry, self.teacher.init(walk.carry.params)
        return Lesson(carry, walk.met, teacher=self.teacher.told(teacher, carry.losses, problems.task.horizon))

    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: Walk, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        assert isinstance(walk, Lesson)
        phi = {name: tensor.detach().requires_grad_() for name, tensor in rule.meta_parameters.items()}
        learner = rule.with_meta_parameters(phi)
        learner_leads = bool(torch.rand((), generator=random) < 0.5)
        carry, state, teacher = walk.carry, walk.carry.state, walk.teacher
        met, distances = [], []
        for _ in weights:
            with torch.no_grad():
                wanted, teacher = self.teacher.update(carry.grads, teacher, carry.params)
            with torch.enable_grad():
                updates, state = learner.update(carry.grads, state, carry.params)
                distances.append(relative_distance(updates, wanted))
            with torch.no_grad():
                applied = updates if learner_leads else wanted
                params = {name: value + applied[name] for name, value in carry.params.items()}
                carry = evaluated(problems, params, without_graph(state), carry.step + 1, rule)
                state = rule.told(state, carry.losses, problems.task.horizon)
                teacher = self.teacher.told(teacher, carry.losses, problems.task.horizon)
            met.append(carry.losses)
        losses = torch.stack(met, dim=-1)
        meta_grads = require_gradients(rule, torch.stack(distances).mean(), phi)
        after = replace(walk, carry=carry, met=walk.met.after(losses), teacher=teacher)
        return Estimate(after, losses, meta_grads)


def relative_distance(updates: Tensors, wanted: Tensors) -> Tensor:
    """The mean of d(u, v) over replicas and tensors; both `[seeds, settings, ...]`."""
    each = []
    for name, target in wanted.items():
        squares = (updates[name].square() + target.square()).flatten(2).sum(-1)
        distance = (updates[name] - target).square().flatten(2).sum(-1)
        each.append(torch.where(squares > 0, distance / squares.where(squares > 0, 1.0), 0.0).mean())
    return torch.stack(each).mean()
