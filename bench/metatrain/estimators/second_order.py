"""Backpropagation through time with nothing dropped, truncated or not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class SecondOrderBPTT(Estimator):
    """dJ/dφ through θ_{t+1} = θ_t + u(∇f(θ_t), …; φ), where ∇f(θ_t) depends on φ too.

    Of the two biases of `bptt` the truncation is left; with `whole` there is none: this is the derivative that the
    others are held against. The optimizee's graph of every step is in memory, and along chaotic trajectories the
    derivative is right and of no use: it explodes (Metz et al. 2019). A function that diverges makes it not finite.
    """

    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        def value(losses: Tensor) -> Tensor:
            return self.objective.value(weights, losses, walk.met)

        segment = second_order_bptt(problems, rule, walk.carry, weights, value)
        return Estimate(walk.after(segment.carry, segment.losses), segment.losses, segment.meta_grads)
