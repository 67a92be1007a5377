"""The protocol of a gradient estimator: from the steps of a segment to the meta-gradient.

    walk = estimator.begin(problems, rule, random)
    for weights in segments:
        estimate = estimator.advance(problems, rule, walk, weights, random)
        walk = estimate.walk

`rule` may have other meta-parameters at each segment. All that lives longer than a segment is in the walk, and nothing
outlives the trajectory: a training that goes on at the next trajectory goes on exactly.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.objective import LossHistory, Objective
from l2obench.bench.metatrain.ranks import Share
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, start
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


@dataclass(frozen=True)
class UnrollState:
    """Where a trajectory stands between two segments."""

    carry: Carry
    met: LossHistory
    noise: Tensors = field(default_factory=dict)
    """Perturbations that later segments need, `[pairs, ...]` for each meta-parameter; empty where there are none."""
    share: Share | None = None
    """Which functions of the meta-batch these are; None: all."""

    def after(self, carry: Carry, losses: Tensor) -> "UnrollState":
        """The walk after a segment that ended at `carry` and met `losses [seeds, settings, steps]`."""
        return replace(self, carry=carry, met=self.met.after(losses))


@dataclass(frozen=True)
class Estimate:
    """What a segment gave."""

    walk: UnrollState
    losses: Tensor
    """f(θ_t) after each step, `[seeds, settings, steps]`; estimators with particles have one setting for each."""
    meta_grads: Tensors


@dataclass(frozen=True, kw_only=True)
class Estimator(ABC):
    """Estimates ∇_φ of the mean over functions of J, the objective of a segment."""

    objective: Objective = field(default_factory=Objective)
    whole: bool = False
    """A trajectory is one segment, whatever the unroll."""

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        """The start of a trajectory: one replica of each function, unless an estimator has particles of its own."""
        return set_out(start(problems, rule))

    @abstractmethod
    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        """`len(weights)` steps, and the meta-gradient of their objective. `walk` is consumed."""


def set_out(carry: Carry, noise: Tensors | None = None) -> UnrollState:
    """The walk that begins at `carry`."""
    return UnrollState(carry, LossHistory(carry.losses, carry.losses), noise or {})
