"""Evolution strategies on truncated segments."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, Estimator, UnrollState
from l2obench.bench.metatrain.estimators.particles import (
    alone,
    antithetic,
    finite_difference,
    perturbations,
    roll,
    spread,
)
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class ES(Estimator):
    """g = 1/N Σ_i ε_i (J(φ + σε_i) − J(φ − σε_i)) / 2σ with ε_i ~ N(0, I), all particles from where φ itself stands.

    Source: Salimans et al. 2017; on truncations, Vicol et al. 2021. Needs no derivative of the rule. Its mean is the
    gradient of J smoothed by a Gaussian of width σ, nothing dropped, within the segment: of the two biases of `bptt`
    the truncation is left. Where a trajectory is one segment there is none but the smoothing, of order σ². Variance
    grows with the number of meta-parameters and falls as 1/N. N pairs cost 2N + 1 rollouts of the segment.
    """

    sigma: float = 0.01
    pairs: int = 4

    @torch.no_grad()
    def advance(
        self, problems: Problems, rule: LearnedOptimizer, walk: UnrollState, weights: Tensor, random: torch.Generator
    ) -> Estimate:
        noise = perturbations(rule, self.pairs, random)
        rules = [*antithetic(rule, noise, self.sigma), rule]
        carry, losses = roll(problems, rules, spread(walk.carry, len(rules)), len(weights))
        values = self.objective.value(weights, losses[:, :-1], walk.met)
        own = losses[:, -1:]
        after = walk.after(alone(carry, len(rules) - 1), own)
        return Estimate(after, own, finite_difference(values, noise, self.sigma))
