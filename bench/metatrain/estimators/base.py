"""The protocol of a meta-gradient estimator: from the steps of a segment to the meta-gradient.

    unroll_state = estimator.begin(problems, rule, random)
    for weights in segments:
        estimate = estimator.advance(problems, rule, unroll_state, weights, random)
        unroll_state = estimate.unroll_state

`rule` may have other meta-parameters in each segment. All that lives longer than a segment is in the unroll state, and
nothing outlives the trajectory: so a training that resumes at the next trajectory ends with the same numbers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.objective import LossHistory, Objective
from l2obench.bench.metatrain.process_group import Shard
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, start
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


@dataclass(frozen=True)
class UnrollState:
    """The state of a trajectory between two segments."""

    carry: Carry
    """Parameters, optimizer state, loss and gradient of every replica, `[functions, settings, ...]`."""
    history: LossHistory
    """Losses so far, for objectives that compare with them."""
    noise: Tensors = field(default_factory=dict)
    """Perturbations that later segments need, `[pairs, ...]` for each meta-parameter; empty where there are none."""
    shard: Shard | None = None
    """Which functions of the meta-batch these are; None: all."""

    def after(self, carry: Carry, losses: Tensor) -> "UnrollState":
        """The state after a segment.

        Args:
            carry: where the segment ended.
            losses: those of its steps, `[functions, settings, steps]`.
        """
        return replace(self, carry=carry, history=self.history.after(losses))


@dataclass(frozen=True)
class Estimate:
    """The outcome of a segment."""

    unroll_state: UnrollState
    losses: Tensor
    """f(θ_t) after each step, `[functions, settings, steps]`; estimators with perturbations have a setting for each."""
    meta_grads: Tensors
    """The estimated meta-gradient, of the shape of each meta-parameter."""


@dataclass(frozen=True, kw_only=True)
class Estimator(ABC):
    """Estimates ∇_φ of the mean over functions of J, the objective of a segment; φ are the meta-parameters."""

    objective: Objective = field(default_factory=Objective)
    whole: bool = False
    """A trajectory is one segment, whatever the unroll."""

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        """The start of a trajectory.

        Args:
            problems: the functions, with their initial parameters.
            rule: the learned optimizer, with its meta-parameters.
            random: draws perturbations, for estimators that have some.

        Returns:
            One replica of each function, unless the estimator perturbs the meta-parameters.
        """
        return begin_unroll(start(problems, rule))

    @abstractmethod
    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        """Run one segment and estimate the meta-gradient of its objective.

        Args:
            problems: the functions.
            rule: the learned optimizer, with its present meta-parameters.
            unroll_state: where the segment begins. It is consumed: its tensors may be changed in place.
            weights: the weight of the loss after each step, `[steps]`; there are as many steps.
            random: draws perturbations and coordinates.

        Returns:
            The state after the segment, its losses, and the meta-gradient of each meta-parameter.

        Raises:
            RecipeError: the rule or the task does not fit the estimator or its objective.
        """


def begin_unroll(carry: Carry, noise: Tensors | None = None) -> UnrollState:
    """The state of a trajectory before its first segment.

    Args:
        carry: θ_0 with its loss, `[functions, settings, ...]`.
        noise: perturbations for later segments, `[pairs, ...]` for each meta-parameter; None: there are none.
    """
    return UnrollState(carry, LossHistory(carry.losses, carry.losses), noise or {})
