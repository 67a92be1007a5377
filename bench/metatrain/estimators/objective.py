"""What the meta-objective makes of a trajectory's losses: J = Σ_t w_t · term_t(f(θ_0), …, f(θ_t)).

An objective that is not linear in the losses enters a meta-gradient through its slopes ∂J/∂f(θ_t) at the losses met, so
one protocol serves all: terms from losses, and what the trajectory has met before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, Term


@dataclass(frozen=True)
class LossHistory:
    """What a trajectory has met before a segment, `[seeds, settings]` each."""

    first: Tensor
    """f(θ_0)."""
    best: Tensor
    """The least loss so far."""

    def after(self, losses: Tensor) -> "LossHistory":
        """What it has met after a segment with `losses [seeds, settings, steps]`."""
        return LossHistory(self.first, torch.minimum(self.best, losses.amin(-1)))


def loss(losses: Tensor, _: LossHistory) -> Tensor:
    """f(θ_t): equation 3 of Andrychowicz et al. 2016."""
    return losses


def log_ratio(losses: Tensor, met: LossHistory) -> Tensor:
    """log f(θ_t) / f(θ_0): a halving counts alike whatever the scale of the function, early and late.

    Raises:
        RecipeError: a loss is not positive.
    """
    least = torch.minimum(met.first, losses.amin(-1)).nan_to_num(nan=torch.inf).min()
    if least <= 0:
        raise RecipeError(
            f"objective=log-ratio needs losses above zero, and this task has {float(least):.3g}; use objective=loss"
        )
    return (losses / met.first.unsqueeze(-1)).log()


def best_so_far(losses: Tensor, met: LossHistory) -> Tensor:
    """min over s ≤ t of f(θ_s): steps that lose ground cost nothing, as where the best iterate is what one keeps."""
    return torch.minimum(losses.cummin(-1).values, met.best.unsqueeze(-1))


TERMS: dict[Term, Callable[[Tensor, LossHistory], Tensor]] = {
    "loss": loss,
    "log-ratio": log_ratio,
    "best-so-far": best_so_far,
}


@dataclass(frozen=True)
class Objective:
    """J of a segment, one value a replica."""

    term: Term = "loss"

    def value(self, weights: Tensor, losses: Tensor, met: LossHistory) -> Tensor:
        """J `[seeds, settings]` of `losses [seeds, settings, steps]` under `weights [steps]`."""
        return (weights * TERMS[self.term](losses, met)).sum(-1)

    def slopes(self, weights: Tensor, losses: Tensor, met: LossHistory) -> Tensor:
        """∂J/∂f(θ_t) at the losses met: the weights themselves, `[steps]`, or `[seeds, settings, steps]`.

        Losses of earlier segments are constants here: that is part of the truncation.
        """
        if self.term == "loss":
            return weights
        with torch.enable_grad():
            at = losses.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(self.value(weights, at, met).sum(), at)
        return slopes
