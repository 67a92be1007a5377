"""Nonlinear conjugate gradients, one gradient a step."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.replica_rows import flatten_replicas, unflatten_replicas
from l2obench.optimizers.base import Optimizer, State, Tensors, Use, per_replica
from l2obench.optimizers.search_space import Dimension, LogRange

# A curvature larger than the last one is believed at once; the memory of it fades by this much each step, so that one
# stiff direction does not keep all later trial steps short.
CURVATURE_DECAY = 0.5


class NonlinearCG(Optimizer):
    """u = (α − α̂) d + α̂' d': the rest of the last line's step to its minimum, and a trial step along the next line.

    The last update ended α̂ along d beyond a point θ with gradient g, and the gradient h is taken there:

        curvature           c = dᵀ(h − g) / α̂,                     an estimate of dᵀ H d
        step to the minimum α = lr · (−gᵀd) / c, at most growth · α̂; α = α̂ where c ≤ 0
        gradient there      g' = g + (α/α̂)(h − g)                  exact on a quadratic
        Polak–Ribière+      β = max(0, g'ᵀ(g' − g) / gᵀg)
        next direction      d' = −g' + β d; −g' where that does not go downhill
        next trial step     α̂' = lr · (−g'ᵀd') / (k ‖d'‖²), with ‖α̂' d'‖ at most growth · max(‖α d‖, ‖α̂ d‖)

    with k ← max(|c| / ‖d‖², k/2), the largest curvature met, halved each step. The first trial step is
    lr · min(1, 1/‖g‖₁) along −g, as for `l-bfgs`. Products run over all parameters of a replica.

    A line search would take several gradients a step; here the gradient at the minimum of a line is interpolated, so
    each step takes one gradient, which every rule here pays for, and no loss. On a quadratic with lr = 1 the points θ
    are those of linear conjugate gradients, as long as no bound is met; the iterates are trial points beside them. With
    minibatches h − g is a difference between two of them, whose noise goes into c.

    State: `gradient` g and `direction` d `[seeds, settings, coordinates]`, `trial` α̂ and `curvature` k
    `[seeds, settings]`, all zero before the first step.

    Source: Polak & Ribière 1969; β kept from being negative: Gilbert & Nocedal 1992, section 4; the secant estimate of
    a line's minimum: Shewchuk 1994, "An introduction to the conjugate gradient method without the agonizing pain",
    section 14.2. Ours: the interpolated gradient in place of a second one, and the bounds.

    Example:
        >>> import torch
        >>> h = torch.diag(torch.tensor([1.0, 10.0]))
        >>> theta, rule = torch.tensor([[[3.0, -1.0]]]), NonlinearCG()
        >>> state = rule.init({"x": theta})
        >>> for _ in range(4):
        ...     updates, state = rule.update({"x": theta @ h}, state, {"x": theta})
        ...     theta = theta + updates["x"]
        >>> bool(theta.norm() < 1e-4)
        True
    """

    name: ClassVar[str] = "ncg"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {"lr": LogRange(1e-3, 10.0)}
    uses: ClassVar[tuple[Use, ...]] = ("curvature",)
    lr_scales_update: ClassVar[bool] = False
    compiled_up_to: ClassVar[float] = 0
    """Its products run over all parameters; a program of it is no faster."""

    lr: float = Field(default=1.0, gt=0)
    """Multiplies the steps along each line: 1 goes to the minimum that the curvature predicts."""
    growth: float = Field(default=10.0, gt=1)
    """How many times as long as the last step a step may be: a prediction far beyond the trial is not trusted."""

    def init(self, params: Tensors) -> State:
        row = torch.zeros_like(flatten_replicas(params))
        none = row.new_zeros(row.shape[:2])
        return {"gradient": row, "direction": row.clone(), "trial": none, "curvature": none.clone()}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        found = flatten_replicas(grads)
        before, direction, trial = state["gradient"], state["direction"], state["trial"]
        lr = per_replica(self.lr, trial)
        begun = trial > 0

        change = found - before
        bend = _dot(direction, change) / trial.where(begun, 1)
        bent = begun & (bend > 0)
        alpha = torch.where(bent, lr * -_dot(before, direction) / bend.where(bent, 1), trial)
        alpha = alpha.minimum(self.growth * trial)
        share = torch.where(begun, alpha / trial.where(begun, 1), 1)
        gradient = before + share.unsqueeze(-1) * change

        square = _dot(before, before)
        beta = (_dot(gradient, gradient - before) / square.where(square > 0, 1)).clamp_min(0) * (square > 0)
        following = beta.unsqueeze(-1) * direction - gradient
        slope = -_dot(gradient, following)
        following = torch.where((slope > 0).unsqueeze(-1), following, -gradient)
        slope = -_dot(gradient, following)

        length = _dot(following, following)
        of_last = _dot(direction, direction)
        curvature = torch.maximum(bend.abs() / of_last.where(of_last > 0, 1), CURVATURE_DECAY * state["curvature"])
        known = curvature > 0
        predicted = lr * slope / (curvature * length).where(known & (length > 0), 1)
        longest = self.growth * torch.maximum(alpha, trial) * (of_last / length.where(length > 0, 1)).sqrt()
        first = lr / gradient.abs().sum(-1).clamp_min(1)
        step = torch.where(begun, torch.where(known, predicted.minimum(longest), longest), first)

        row = (alpha - trial).unsqueeze(-1) * direction + step.unsqueeze(-1) * following
        after = {"gradient": gradient, "direction": following, "trial": step, "curvature": curvature}
        return unflatten_replicas(row, grads), after


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Products over all coordinates, `[seeds, settings]`."""
    return (a * b).sum(-1)
