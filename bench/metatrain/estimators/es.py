"""Evolution strategies on truncated segments."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, UnrollState
from l2obench.bench.metatrain.estimators.perturbed_replicas import (
    EvolutionStrategy,
    draw_perturbations,
    perturb_antithetically,
    repeat_replica,
    select_replica,
    unroll_replicas,
)
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class ES(EvolutionStrategy):
    """g = 1/N Σ_i ε_i (J(φ + σε_i) − J(φ − σε_i)) / 2σ with ε_i ~ N(0, I); all replicas begin where φ itself is.

    It needs no derivative of the rule. Its mean is the gradient of J smoothed by a Gaussian of width σ, within the
    segment; no second derivative is dropped. Of the two biases of `bptt` the truncation is left. Where a trajectory is
    one segment, the only bias is the smoothing, of order σ². Variance grows with the number of meta-parameters and
    falls as 1/N. N pairs cost 2N + 1 rollouts of the segment.

    Source: Salimans et al. 2017; on truncations, Vicol et al. 2021.
    """

    @torch.no_grad()
    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        noise = draw_perturbations(rule, self.pairs, random)
        # The last replica is unperturbed: the next segment begins where it ends.
        rules = [*perturb_antithetically(rule, noise, self.sigma), rule]
        carry, losses = unroll_replicas(problems, rules, repeat_replica(unroll_state.carry, len(rules)), len(weights))
        values = self.objective.value(weights, losses[:, :-1], unroll_state.history)
        own_losses = losses[:, -1:]
        after = unroll_state.after(select_replica(carry, len(rules) - 1), own_losses)
        return Estimate(after, own_losses, self.meta_grads(values, noise))
