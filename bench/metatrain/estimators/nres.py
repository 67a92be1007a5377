"""Noise-reuse evolution strategies: one perturbation for a whole trajectory, a meta-step after every segment."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState, set_out
from l2obench.bench.metatrain.estimators.particles import antithetic, finite_difference, gathered, perturbations, roll
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class NRES(Estimator):
    """g_τ = 1/N Σ_i ε_i (J_τ(i⁺) − J_τ(i⁻)) / 2σ, with ε_i drawn once, when the trajectory begins.

    Source: Li et al. 2023. As in `pes`, each particle walks on from where it stands; but its perturbation stays the
    same, and takes the place of the sum ξ. The sum of g_τ over a trajectory is what evolution strategies give for the
    whole of it: unbiased up to the smoothing as long as φ stays the same, and, by their analysis, with less variance
    than `pes`. Where φ moves at every meta-step, particles remember an older φ.
    """

    sigma: float = 0.01
    pairs: int = 4

    @torch.no_grad()
    def begin(self, problems: Problems, rule: LearnedOptimizer, random: torch.Generator) -> UnrollState:
        noise = perturbations(rule, self.pairs, random)
        return set_out(gathered(problems, rule, 2 * self.pairs), noise)

    @torch.no_grad()
    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        carry, losses = roll(problems, antithetic(rule, walk.noise, self.sigma), walk.carry, len(weights))
        values = self.objective.value(weights, losses, walk.met)
        return Estimate(walk.after(carry, losses), losses, finite_difference(values, walk.noise, self.sigma))
