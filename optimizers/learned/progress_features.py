"""What VeLO and Celo are given of a run's progress: the fraction of steps that are done, and how the loss falls."""

import math

import torch
from torch import Tensor

from l2obench.optimizers.base import State

# τ, as fractions of the run, and how many averages of the loss; as in the released code.
TIMES = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)
AVERAGES = 10
PROGRESS_FEATURES = len(TIMES) + AVERAGES - 1


def initial_averages(like: Tensor) -> State:
    """The averages of the loss before the first one.

    Args:
        like: a parameter, `[seeds, settings, ...]`.

    Returns:
        `averages` and `lowest`, `[AVERAGES, seeds, settings]`: each average, and the lowest that it has been.
    """
    replicas = like.shape[:2]
    return {
        "averages": like.new_zeros(AVERAGES, *replicas),
        "lowest": like.new_full((AVERAGES, *replicas), math.inf),
    }


def progress_features(
    loss: Tensor, step: int | Tensor, horizon: Tensor, averages: Tensor, lowest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Features of time, tanh(10 (t/T − τ)) for nine τ, and nine of the loss.

    The loss, at most twice the size of the largest of its averages, enters ten averages ℓ_k that fade as e^{−t/h} with
    h_k = 10 (T/10)^{k/9}, each over its total weight; ℓ_k^min is the lowest that ℓ_k has been. A feature is
    clip((ℓ_k − ℓ_k^min) / max(ℓ_{k+1} − ℓ_k^min, 1e-8) − 1, ±1), and 0 in the first two steps.

    Args:
        loss: at the parameters of this update, `[seeds, settings]`.
        step: how many updates there have been.
        horizon: T, `[seeds, settings]`.
        averages: from `initial_averages` or the last call.
        lowest: likewise.

    Returns:
        The features `[PROGRESS_FEATURES, seeds, settings]`, and the averages and their lowest values with this loss.

    Source: Metz et al. 2022, "VeLO", with the values of the released code (google/learned_optimization, its switch for
    an old bug of these features off).
    """
    times = torch.tensor(TIMES, dtype=loss.dtype, device=loss.device)
    of_time = torch.tanh(10 * (step / horizon - times.view(-1, 1, 1)))
    exponents = torch.arange(AVERAGES, dtype=loss.dtype, device=loss.device).view(-1, 1, 1) / (AVERAGES - 1)
    rates = -1 / (10 * (horizon / 10) ** exponents)
    weight = -torch.expm1(rates * (step + 1))
    # The cap looks at the averages of the step before, which have nothing in them at the first.
    largest = (averages / weight).amax(0)
    loss = torch.where(lowest[0].isinf(), loss, torch.minimum(loss, 2 * largest.abs()))
    averages = averages * rates.exp() - loss * torch.expm1(rates)
    level = averages / weight
    lowest = torch.minimum(lowest, level)
    relative = (level[:-1] - lowest[:-1]) / (level[1:] - lowest[:-1]).clamp_min(1e-8)
    of_loss = (relative - 1).clamp(-1, 1) * (step >= 2)
    return torch.cat([of_time, of_loss]), averages, lowest
