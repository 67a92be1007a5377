"""Evolution strategies on whole trajectories, which can look at the held-out loss at their end."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimate, UnrollState
from l2obench.bench.metatrain.estimators.nres import NRES
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.learned.base import LearnedOptimizer


@dataclass(frozen=True, kw_only=True)
class FullES(NRES):
    """(1 − s) g + s h: g is what `nres` gives for the trajectory as one segment, whose only bias is the smoothing.

    h is the same estimate for the objective at the held-out loss of the last step alone, compared with the training
    loss at the start. Where a task has no held-out loss, the meta-gradient is g.

    Source: Li et al. 2023 for g. Metz et al. 2019, *Understanding and correcting pathologies in the training of learned
    optimizers*, meta-train on held-out losses; the share of both is ours.
    """

    whole: bool = True
    heldout_share: float = 0.0
    """s."""

    @torch.no_grad()
    def advance(
        self,
        problems: Problems,
        rule: LearnedOptimizer,
        unroll_state: UnrollState,
        weights: Tensor,
        random: torch.Generator,
    ) -> Estimate:
        estimate = super().advance(problems, rule, unroll_state, weights, random)
        carry, share = estimate.unroll_state.carry, self.heldout_share
        loss = problems.heldout_loss(carry.params, carry.buffers) if share else None
        if loss is None:
            return estimate
        values = self.objective.value(weights.new_ones(1), loss.unsqueeze(-1), unroll_state.history)
        heldout = self.meta_grads(values, unroll_state.noise)
        grads = {name: torch.lerp(grad, heldout[name], share) for name, grad in estimate.meta_grads.items()}
        return replace(estimate, meta_grads=grads)
