"""What `controller` is told of a run: the time, each tensor's kind and size, its gradient, and how the loss falls.

Every feature is one number for each tensor and replica, scaled to be near ±1 and kept within ±4.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from l2obench.optimizers.base import State, blend
from l2obench.optimizers.learned.controller_directions import SMALL

TIME = ("time", "left", "log_step", "log_horizon", "early")
KIND = ("matrix", "embedding", "size", "aspect", "share", "place")
WEIGHTS = ("log_rms", "over_usual", "growth")
GRADIENT = (
    "gradient_now",
    "gradient_trend",
    "along_momentum",
    "along_last_fast",
    "along_last_slow",
    "straightness",
    "adam_rms",
    "signal_to_noise",
    "mean_along_last_fast",
    "mean_along_last",
    "mean_signal_to_noise",
    "log_rate",
)
LOSS = ("loss_now", "promised", "kept", "loss_fast", "loss_slow", "loss_over_lowest", "loss_over_first", "loss_noise")
GROUPS = {"time": TIME, "kind": KIND, "weights": WEIGHTS, "gradient": GRADIENT, "loss": LOSS}
"""Names of the features by what they are of, in the order in which the network reads them."""
BOUND = 4.0
# Decays of the running means, as the weight of a new value: over 5 and over 30 steps.
FAST, SLOW = 1 / 5, 1 / 30
# Steps whose gradients stand for those of the start.
FIRST_STEPS = 5
TINY = 1e-20
"""Against 0/0: far below any norm."""


def time_features(step: int, horizon: Tensor) -> Tensor:
    """Features of the time.

    Args:
        step: updates done, t.
        horizon: T, `[seeds, settings]`.

    Returns:
        `[seeds, settings, 1, 5]`.
    """
    over = (step / horizon).clamp_max(1)
    features = [
        2 * over - 1,
        (1 - over + 1 / horizon).log() / 2 + 0.5,
        torch.full_like(horizon, math.log(step + 1) / 2 - 2),
        horizon.log() / 1.5 - 3.5,
        torch.full_like(horizon, 2 / (1 + step / 10) - 0.5),
    ]
    return torch.stack(features, -1).unsqueeze(-2)


def kind_features(shapes: Sequence[tuple[int, ...]], matrices: Sequence[bool], embedding: Tensor) -> Tensor:
    """Features of a tensor that only its shape and its place among the others decide.

    Args:
        shapes: of each tensor of one replica.
        matrices: which are matrices.
        embedding: which are embeddings, 0 or 1, `[seeds, settings, tensors]`.

    Returns:
        `[seeds, settings, tensors, 6]`.
    """
    static = embedding.new_tensor(_kind_rows(tuple(shapes), tuple(matrices))).expand(*embedding.shape, 5)
    return torch.cat([static[..., :1], embedding.unsqueeze(-1), static[..., 1:]], -1)


@lru_cache(maxsize=64)
def _kind_rows(shapes: tuple[tuple[int, ...], ...], matrices: tuple[bool, ...]) -> list[list[float]]:
    """The features of `kind_features` but the embedding: the same at every step."""
    sizes, last, rows = [math.prod(shape) for shape in shapes], max(1, len(shapes) - 1), []
    for k, (shape, size, matrix) in enumerate(zip(shapes, sizes, matrices, strict=True)):
        aspect = math.log(shape[0] / math.prod(shape[1:])) if matrix else 0.0
        share = math.log(size / sum(sizes))
        rows.append([2.0 * matrix - 1, (math.log(size) - 5) / 3, aspect / 2, share / 3 + 1, 2 * k / last - 1])
    return rows


def weight_features(rms: Tensor, first: Tensor, usual: Tensor) -> Tensor:
    """Features of the size of the weights.

    Args:
        rms: root mean square of each tensor, `[seeds, settings, tensors]`.
        first: the same at the start.
        usual: what such a tensor usually has.

    Returns:
        `[seeds, settings, tensors, 3]`.
    """
    growth = (rms / (first + 0.1 * usual)).log().clamp(-2, 3)
    return torch.stack([(rms + 1e-3).log() / 2 + 1, (rms / usual + 0.01).log() / 2, growth], -1)


def initial_signals(like: Tensor, tensors: int) -> State:
    """Running means of what gradients show, before the first step.

    Args:
        like: a parameter, `[seeds, settings, ...]`.
        tensors: how many parameters there are.

    Returns:
        `[seeds, settings, tensors]` each.
    """
    zero = like.new_zeros(*like.shape[:2], tensors)
    names = ("gradient_mean", "gradient_first", "along_fast", "along_slow", "straightness", "adam_rms", "last_norm")
    return {**{name: zero.clone() for name in names}, "weight_sum": zero.clone(), "log_rate": zero.clone()}


def gradient_features(products: Sequence[Tensor], sizes: Tensor, signals: State, step: int) -> tuple[Tensor, State]:
    """Features of the gradient, and the running means with it in them.

    Args:
        products: sums of g², m², g m, g d and v / (1 − β₂ᵗ), `[seeds, settings, tensors]` each.
        sizes: coordinates of each tensor, `[tensors]`.
        signals: from `initial_signals` or the last call.
        step: updates done, t.

    Returns:
        `[seeds, settings, tensors, 12]`, and the next running means.
    """
    gradient_square, momentum_square, along_momentum, along, second_moment = products
    gradient, momentum = gradient_square.sqrt() + TINY, momentum_square.sqrt() + TINY
    along_last = along / gradient / (signals["last_norm"] + TINY)
    log_size = (gradient / sizes.sqrt() + 1e-12).log()
    share = 1 / (step + 1)
    after = {
        **signals,
        "along_fast": blend(signals["along_fast"], along_last, max(FAST, share)),
        "along_slow": blend(signals["along_slow"], along_last, max(SLOW, share)),
        "gradient_mean": blend(signals["gradient_mean"], log_size, max(SLOW, share)),
    }
    if step < FIRST_STEPS:
        after["gradient_first"] = blend(signals["gradient_first"], log_size, share)
    corrected = momentum_square / (signals["weight_sum"].square() + 1e-8)
    noise = (corrected / (second_moment + 1e-30) + 1e-4).log() / 2 if step else torch.zeros_like(log_size)
    slow, noise = 6 * after["along_slow"], noise + 1
    features = [
        (log_size - after["gradient_mean"]).clamp(-2, 2),
        ((after["gradient_mean"] - after["gradient_first"]) / 2).clamp(-2, 2),
        2 * along_momentum / gradient / momentum,
        4 * after["along_fast"],
        slow,
        2 * after["straightness"] - 1,
        after["adam_rms"] + 1,
        noise,
        4 * after["along_fast"].mean(-1, keepdim=True).expand_as(slow),
        slow.mean(-1, keepdim=True).expand_as(slow),
        noise.mean(-1, keepdim=True).expand_as(slow),
        after["log_rate"],
    ]
    return torch.stack(features, -1), after


def direction_signals(squares: Tensor, along_last: Tensor, last_norm: Tensor) -> State:
    """What the next features need of this step's directions, `[seeds, settings, tensors]` each.

    Args:
        squares: the sum of D², likewise.
        along_last: the sum of D times the last direction.
        last_norm: the last direction's norm.
    """
    norm = squares.sqrt()
    return {"straightness": along_last / (norm + SMALL) / (last_norm + SMALL), "last_norm": norm}


def initial_losses(loss: Tensor) -> State:
    """Running means of the loss, before its first value is in them.

    Args:
        loss: the first one, `[seeds, settings]`.
    """
    loss = _bounded(loss)
    means = {name: loss.clone() for name in ("first", "fast", "mean", "slow", "lowest", "last")}
    nothing = {name: torch.zeros_like(loss) for name in ("promised", "promises", "gains")}
    return {**means, **nothing, "noise": torch.full_like(loss, 0.01)}


def loss_features(loss: Tensor, memory: State, step: int, horizon: Tensor) -> tuple[Tensor, State]:
    """Features of the loss.

    They are: itself against its mean; what the last steps promised to first order, −g · u, and the share of it that was
    kept; its means over 5, 30 and T/10 steps against each other, the lowest and the first; its noise.

    Args:
        loss: at the parameters of this update, `[seeds, settings]`.
        memory: from `initial_losses` or the last call.
        step: updates done, t.
        horizon: T, `[seeds, settings]`.

    Returns:
        `[seeds, settings, 1, 8]`, and the next running means; `promised` is for the caller to add.
    """
    loss, share = _bounded(loss), 1 / (step + 1)
    # Before the means: blending may write into their memory.
    now = 2 * (loss / memory["fast"]).log()
    deviation = ((loss - memory["mean"]) / memory["mean"]).clamp(-3, 3)
    fast = blend(memory["fast"], loss, max(FAST, share))
    mean = blend(memory["mean"], loss, max(SLOW, share))
    slow = torch.lerp(memory["slow"], loss, (1 / (horizon / 10).clamp_min(10)).clamp_min(share))
    promises = blend(memory["promises"], memory["promised"], max(FAST, share))
    gains = blend(memory["gains"], memory["last"] - loss, max(FAST, share))
    noise = blend(memory["noise"], deviation.square(), max(0.05, 1 / (step + 2)))
    lowest = torch.minimum(memory["lowest"], fast)
    features = [
        now,
        (promises.clamp_min(0) / fast + 1e-5).log() / 3 + 1,
        gains / (promises.abs() + 1e-3 * SMALL * fast) if step else torch.zeros_like(loss),
        5 * (fast / mean).log(),
        5 * (mean / slow).log(),
        2 * (fast / lowest).log(),
        (fast / memory["first"]).log() / 3,
        (noise + 1e-6).log() / 4 + 1,
    ]
    after = {"first": memory["first"], "fast": fast, "mean": mean, "slow": slow, "lowest": lowest, "noise": noise}
    after |= {"last": loss, "promises": promises, "gains": gains}
    return torch.stack(features, -1).clamp(-3, 3).unsqueeze(-2), after


def _bounded(loss: Tensor) -> Tensor:
    # A copy: the means of the loss own their memory.
    return loss.nan_to_num(nan=1e8).clamp(1e-8, 1e8)
