"""Noise-reuse evolution strategies: one perturbation for a whole trajectory, a meta-step after every segment."""

from dataclasses import dataclass

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
class NRES(EvolutionStrategy):
    """g_τ = 1/N Σ_i ε_i (J_τ(i⁺) − J_τ(i⁻)) / 2σ, with ε_i drawn once, when the trajectory begins.

    As in `pes`, each replica continues from where it is; but its perturbation stays the same, and takes the place of
    the sum ξ. The sum of g_τ over a trajectory is what evolution strategies give for the whole of it: unbiased up to
    the smoothing as long as φ stays the same, and, by the authors' analysis, with less variance than `pes`. Where φ
    changes at every meta-step, replicas remember an older φ. Where a trajectory is one segment, this is evolution
    strategies on full trajectories, and the only bias is the smoothing.

    Source: Li et al. 2023.
    """

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        noise = draw_perturbations(rule, self.pairs, random)
        return begin_unroll(start_replicas(problems, rule, 2 * self.pairs), noise)

    @torch.no_grad()
    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        rules = stack_rules(perturb_antithetically(rule, unroll_state.noise, self.sigma))
        carry, losses = unroll_replicas(problems, rules, unroll_state.carry, len(weights))
        values = self.objective.value(weights, losses, unroll_state.history)
        after = unroll_state.after(carry, losses)
        return Estimate(after, losses, self.meta_grads(values, unroll_state.noise))
