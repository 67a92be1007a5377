"""Backpropagation through time, truncated or not, second derivatives dropped: the paper's own estimator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class BPTT(Estimator):
    """Σ_s ⟨∂u_s/∂φ, G_s⟩ within a segment; `l2obench.bench.metatrain.estimators.bptt_gradient` has the derivation.

    Its only variance is that of the functions and, with `coordinates`, of the sampled coordinates. It has two biases.
    The truncation: the effect of an update on losses after its segment counts for nothing. The dropped second
    derivatives: neither does its effect on later gradients (∂∇f/∂φ = 0). With `whole` the second bias is left, a
    trajectory is one meta-step, and memory grows with the horizon.

    Source: Andrychowicz et al. 2016, section 2.
    """

    coordinates: int | None = None
    """Coordinates of each parameter tensor and function that are backpropagated through; None: all."""

    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        def slopes(losses: Tensor) -> Tensor:
            return self.objective.slopes(weights, losses, unroll_state.history)

        segment = truncated_bptt(
            problems, rule, unroll_state.carry, weights, self.coordinates, random, unroll_state.shard, slopes
        )
        return Estimate(unroll_state.after(segment.carry, segment.losses), segment.losses, segment.meta_grads)
