"""Meta-objectives: J = Σ_t w_t · term_t(f(θ_0), …, f(θ_t)), from the losses of a trajectory.

An objective that is not linear in the losses enters a meta-gradient through its slopes ∂J/∂f(θ_t) at the losses of the
segment. So one protocol serves all: terms from the losses and from the history before them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError, Term

HIGHEST_RATIO, SMALLEST_LOSS = 20.0, 1e-12


@dataclass(frozen=True)
class LossHistory:
    """The losses before a segment, as far as objectives need them; `[functions, settings]` each."""

    first: Tensor
    """f(θ_0)."""
    best: Tensor
    """The least loss so far."""

    def after(self, losses: Tensor) -> "LossHistory":
        """The history after a segment.

        Args:
            losses: those of its steps, `[functions, settings, steps]`.
        """
        return LossHistory(self.first, torch.minimum(self.best, losses.amin(-1)))


def loss(losses: Tensor, _: LossHistory) -> Tensor:
    """f(θ_t) itself; the history has no part.

    Args:
        losses: those of a segment, `[functions, settings, steps]`.

    Source: Andrychowicz et al. 2016, equation 3.
    """
    return losses


def log_ratio(losses: Tensor, history: LossHistory) -> Tensor:
    """log f(θ_t) / f(θ_0): a halving counts alike whatever the scale of the function, early and late.

    Args:
        losses: those of a segment, `[functions, settings, steps]`.
        history: gives f(θ_0).

    Returns:
        Of the shape of `losses`.

    Raises:
        RecipeError: a loss is not positive.
    """
    least = torch.minimum(history.first, losses.amin(-1)).nan_to_num(nan=torch.inf).min()
    if least <= 0:
        raise RecipeError(
            f"objective=log-ratio needs losses above zero, got {float(least):.3g} on this task. Try: objective=loss"
        )
    return (losses / history.first.unsqueeze(-1)).log()


def bounded_log_ratio(losses: Tensor, history: LossHistory, least_ratio: float) -> Tensor:
    """log(min(f(θ_t) / f(θ_0), 20) + r): a loss that is not finite or has risen far counts as 20 times the first.

    So a replica that diverges is punished, and one near zero on a function without noise does not outweigh all others.

    Args:
        losses: those of a segment, `[functions, settings, steps]`.
        history: gives f(θ_0).
        least_ratio: r; ratios far below it count alike.

    Returns:
        Of the shape of `losses`.

    Example:
        >>> history = LossHistory(first=torch.tensor([[2.0]]), best=torch.tensor([[2.0]]))
        >>> bounded_log_ratio(torch.tensor([[[2.0, torch.nan]]]), history, 1e-6).exp().round(decimals=3).tolist()
        [[[1.0, 20.0]]]
    """
    ratio = losses / history.first.abs().clamp_min(SMALLEST_LOSS).unsqueeze(-1)
    return (ratio.nan_to_num(nan=HIGHEST_RATIO).clamp(0, HIGHEST_RATIO) + least_ratio).log()


def best_so_far(losses: Tensor, history: LossHistory) -> Tensor:
    """min over s ≤ t of f(θ_s): a step to a higher loss costs nothing, as where one keeps the best iterate.

    Args:
        losses: those of a segment, `[functions, settings, steps]`.
        history: gives the least loss before it.

    Returns:
        Of the shape of `losses`; never rising along the steps.

    Example:
        >>> history = LossHistory(first=torch.tensor([[4.0]]), best=torch.tensor([[2.0]]))
        >>> best_so_far(torch.tensor([[[3.0, 5.0, 1.0]]]), history).tolist()
        [[[2.0, 2.0, 1.0]]]
    """
    return torch.minimum(losses.cummin(-1).values, history.best.unsqueeze(-1))


TERMS: dict[Term, Callable[[Tensor, LossHistory], Tensor]] = {
    "loss": loss,
    "log-ratio": log_ratio,
    "best-so-far": best_so_far,
}
"""What needs nothing but the losses."""


@dataclass(frozen=True)
class Objective:
    """J of a segment, one value a replica."""

    term: Term = "loss"
    least_ratio: float = 1e-6
    """r of `bounded_log_ratio`."""

    def value(self, weights: Tensor, losses: Tensor, history: LossHistory) -> Tensor:
        """J of a segment.

        Args:
            weights: w_t, `[steps]`.
            losses: f(θ_t), `[functions, settings, steps]`.
            history: the losses before the segment.

        Returns:
            `[functions, settings]`.

        Example:
            >>> losses = torch.tensor([[[3.0, 2.0]]])
            >>> history = LossHistory(first=torch.tensor([[4.0]]), best=torch.tensor([[4.0]]))
            >>> Objective().value(torch.tensor([1.0, 10.0]), losses, history).tolist()
            [[23.0]]
        """
        if self.term == "bounded-log-ratio":
            return (weights * bounded_log_ratio(losses, history, self.least_ratio)).sum(-1)
        return (weights * TERMS[self.term](losses, history)).sum(-1)

    def slopes(self, weights: Tensor, losses: Tensor, history: LossHistory) -> Tensor:
        """∂J/∂f(θ_t) at the losses of a segment.

        Losses of earlier segments are constants here: that is part of the truncation.

        Args:
            weights: w_t, `[steps]`.
            losses: f(θ_t), `[functions, settings, steps]`.
            history: the losses before the segment.

        Returns:
            The weights themselves, `[steps]`, where J is linear in the losses; else `[functions, settings, steps]`.
        """
        if self.term == "loss":
            return weights
        with torch.enable_grad():
            at = losses.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(self.value(weights, at, history).sum(), at)
        return slopes
