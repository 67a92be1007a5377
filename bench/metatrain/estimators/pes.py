"""Persistent evolution strategies: truncated segments without the truncation's bias."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState, set_out
from l2obench.bench.metatrain.estimators.particles import antithetic, finite_difference, gathered, perturbations, roll
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class PES(Estimator):
    """g_τ = 1/N Σ_i ξ_{i,τ} (J_τ(i⁺) − J_τ(i⁻)) / 2σ with ξ_{i,τ} = Σ_{k≤τ} ε_{i,k}.

    Source: Vicol et al. 2021. Each particle walks on from where it stands, at φ ± σε_{i,τ} with a new ε in every
    segment τ; what an earlier perturbation does to the present segment is credited through ξ, the sum of all so far. So
    the sum of g_τ over a trajectory is unbiased for the smoothed objective of the whole of it as long as φ stays the
    same; where φ moves at every meta-step, particles remember an older φ. With many meta-parameters, variance grows
    with the number of segments.
    """

    sigma: float = 0.01
    pairs: int = 4

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        nothing = {name: phi.new_zeros(self.pairs, *phi.shape) for name, phi in rule.meta_parameters.items()}
        return set_out(gathered(problems, rule, 2 * self.pairs), nothing)

    @torch.no_grad()
    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        noise = perturbations(rule, self.pairs, random)
        carry, losses = roll(problems, antithetic(rule, noise, self.sigma), walk.carry, len(weights))
        total = {name: walk.noise[name] + value for name, value in noise.items()}
        values = self.objective.value(weights, losses, walk.met)
        after = replace(walk.after(carry, losses), noise=total)
        return Estimate(after, losses, finite_difference(values, total, self.sigma))
