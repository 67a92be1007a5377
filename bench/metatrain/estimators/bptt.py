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

    Source: Andrychowicz et al. 2016, section 2. No variance beyond that of the functions and, with `coordinates`, of
    the sampled coordinates. Biased twice: what an update does to losses after its segment counts for nothing (the
    truncation), and neither does what it does to later gradients (∂∇f/∂φ = 0). With `whole`, the second bias is left,
    a trajectory is one meta-step, and memory grows with the horizon.
    """

    coordinates: int | None = None
    """Coordinates of each parameter tensor and function that carry a graph; None: all."""

    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        def slopes(losses: Tensor) -> Tensor:
            return self.objective.slopes(weights, losses, walk.met)

        segment = truncated_bptt(problems, rule, walk.carry, weights, self.coordinates, random, walk.share, slopes)
        return Estimate(walk.after(segment.carry, segment.losses), segment.losses, segment.meta_grads)
