"""Persistent evolution strategies: truncated segments without the truncation's bias."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, UnrollState, begin_unroll
from l2obench.bench.metatrain.estimators.perturbed_replicas import (
    EvolutionStrategy,
    draw_perturbations,
    perturb_antithetically,
    stack_rules,
    start_replicas,
    unroll_replicas,
)
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class PES(EvolutionStrategy):
    """g_τ = 1/N Σ_i ξ_{i,τ} (J_τ(i⁺) − J_τ(i⁻)) / 2σ with ξ_{i,τ} = Σ_{k≤τ} ε_{i,k}.

    Each replica continues from where it is, at φ ± σε_{i,τ} with a new ε in every segment τ. The effect of an earlier
    perturbation on the present segment is credited through ξ, the sum of all so far. So the sum of g_τ over a
    trajectory is unbiased for the smoothed objective of the whole of it as long as φ stays the same. Where φ changes at
    every meta-step, replicas remember an older φ. With many meta-parameters, variance grows with the number of
    segments.

    Source: Vicol et al. 2021.
    """

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        nothing = {name: phi.new_zeros(self.pairs, *phi.shape) for name, phi in rule.meta_parameters.items()}
        return begin_unroll(start_replicas(problems, rule, 2 * self.pairs), nothing)

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
        rules = stack_rules(perturb_antithetically(rule, noise, self.sigma))
        carry, losses = unroll_replicas(problems, rules, unroll_state.carry, len(weights))
        total = {name: unroll_state.noise[name] + value for name, value in noise.items()}
        values = self.objective.value(weights, losses, unroll_state.history)
        after = replace(unroll_state.after(carry, losses), noise=total)
        return Estimate(after, losses, self.meta_grads(values, total))
