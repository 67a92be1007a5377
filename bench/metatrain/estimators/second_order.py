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

    Of the two biases of `bptt` the truncation is left. With `whole` there is none: this is the derivative that the
    other estimators are compared with. The optimizee's graph of every step is in memory. Along chaotic trajectories the
    exact derivative explodes and is of no use (Metz et al. 2019). A function that diverges makes it not finite.

    Source: Andrychowicz et al. 2016, section 2, without its approximation.
    """

    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        def value(losses: Tensor) -> Tensor:
            return self.objective.value(weights, losses, unroll_state.history)

        segment = second_order_bptt(problems, rule, unroll_state.carry, weights, value)
        return Estimate(unroll_state.after(segment.carry, segment.losses), segment.losses, segment.meta_grads)
