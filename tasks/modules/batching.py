"""How replicas of a module run: tried once, on two replicas of one step, then decided by a rule over sizes.

The rule comes from measurements (docs/performance.md). It asks for sizes only, never for a clock: each way rounds
otherwise, so a choice by time would give the same run other numbers.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from l2obench.foundation.replica_gradients import Evaluate, Found, gradient_of_each, gradient_of_sum
from l2obench.tasks.base import Tensors
from l2obench.tasks.modules.batches import BadModule
from l2obench.tasks.modules.flop_count import FlopCount

FEW = 8
"""Replicas below which `torch.vmap` costs more than it saves: it takes as long as ten plain steps of a small model."""
LARGE = 1e8
"""Operations of one replica's gradient above which a processor is busy with one, and one after the other is faster."""
LARGE_ON_GPU = 1e10
"""The same on a GPU, which one replica fills much later."""
LARGE_IMAGES = 250_000
"""Bytes of one replica's graph above which replicas of a convolutional model are faster one after the other.

Together their convolutions are grouped, and batch norm takes several passes over all images.
"""
LARGE_CONVOLUTIONS = 5e8
"""Operations of one gradient above which a convolutional model is faster with channels last."""
CONVOLUTIONS = ("aten.convolution", "aten.convolution_backward", "aten._convolution")
REPLICAS = 2
"""Replicas of a try."""
# Float32 sums in another order differ by less; another mask of dropout or another statistic differs by far more.
RELATIVE, ABSOLUTE = 1e-3, 1e-4
GAP = 0.02

Together = Callable[[Evaluate, Tensors, Tensors, Tensors], Found]
"""Evaluates and differentiates replicas at once, as `gradient_of_sum` does."""
# PyTorch batches mse_loss, huber_loss and smooth_l1_loss twice only where both arguments are batched twice, which views
# see to. A recurrent layer is one operator, which is taken apart, and batched, only by `torch.func`.
WAYS: tuple[Together, ...] = tuple(
    partial(way, own_views=own_views) for way in (gradient_of_sum, gradient_of_each) for own_views in (False, True)
)
"""From the fastest on; the first that gives what one replica after the other gives is taken."""


class OneByOne(Protocol):
    """Evaluates replicas one after the other."""

    def __call__(self, params: Tensors, buffers: Tensors, batch: Tensors, *, channels_last: bool) -> Found:
        """Args: those of `Replicas.one_by_one`."""


@dataclass(frozen=True)
class Batching:
    """What a try says."""

    refused: str | None
    """Why replicas can't run together; None: they can."""
    flops: int
    """Multiplications and additions of one replica's loss and gradient."""
    saved_bytes: int
    """What one replica's graph keeps for the backward pass."""
    way: Together = WAYS[0]
    """How replicas run together."""
    convolutional: bool = False
    """Whether convolutions make most of `flops`."""
    channels_last: bool = False
    """Whether the model is convolutional and large, and gives the same numbers with channels last."""

    def together(self, replicas: int, device: str) -> bool:
        """Whether so many replicas run together: where they can, are not few, and none is large.

        Args:
            replicas: how many there are.
            device: `cpu` or `cuda`.

        Example:
            >>> Batching(refused=None, flops=10_000, saved_bytes=0).together(replicas=20, device="cpu")
            True
        """
        if device == "cuda":
            small = self.flops <= LARGE_ON_GPU
        elif self.convolutional:
            small = self.saved_bytes <= LARGE_IMAGES
        else:
            small = self.flops <= LARGE
        return self.refused is None and replicas >= FEW and small


@torch.no_grad()
def try_batching(
    one_by_one: OneByOne, evaluate: Evaluate, params: Tensors, buffers: Tensors, batch: Tensors
) -> Batching:
    """Evaluate two replicas in all ways, and compare.

    Args:
        one_by_one: what the other ways are held against.
        evaluate: one replica, for `torch.vmap`.
        params: `[1, 2, ...]`.
        buffers: likewise.
        batch: `[1, ...]`.

    Raises:
        BadModule: the model writes into its parameters.
    """
    one = {name: value[:, :1].clone() for name, value in params.items()}
    own = {name: value[:, :1].clone() for name, value in buffers.items()}
    counter = FlopCount()
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        first = one_by_one(one, own, batch, channels_last=False)
    before = {name: value.clone() for name, value in params.items()}
    expected = one_by_one(params, buffers, batch, channels_last=False)
    for name, value in before.items():
        if not torch.equal(value, params[name]):
            raise BadModule(
                f"the model must not write into its parameters, got a new {name!r} after an evaluation. "
                "Try: compute the constrained value in forward"
            )
    # PyTorch counts no operation of a fused LSTM, which `torch.vmap` takes apart into those that it counts.
    flops, refused = counter.total, None
    for way in WAYS:
        with FlopCount() as apart:
            reason = _refusal(partial(way, evaluate, params, buffers, batch), expected)
        if reason is None:
            flops, refused = max(flops, apart.total // REPLICAS), None
            break
        refused = refused or reason  # The fastest way's says the most.
    convolutional = _convolution_flops(counter) > counter.total / 2
    large = convolutional and flops > LARGE_CONVOLUTIONS
    channels_last = large and _agrees(lambda: one_by_one(one, own, batch, channels_last=True), first)
    kept = sum(saved.values())
    return Batching(refused, flops, kept, way, convolutional, channels_last)


def _convolution_flops(counter: FlopCount) -> int:
    return sum(counter.by_operator[operator] for operator in CONVOLUTIONS)


def _refusal(evaluate: Callable[[], Found], expected: Found) -> str | None:
    # An operation without a batching rule runs replica by replica inside; on small models the rest still pays.
    warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
    try:
        losses, grads, buffers = evaluate()
    except Exception as error:  # a user's module may raise anything, and torch about it too
        first = (str(error).strip().splitlines() or [""])[0]
        return f"torch.vmap cannot run the model ({type(error).__name__}: {first[:200]})"
    found = {"the loss": losses, **grads, **buffers}
    wanted = {"the loss": expected[0], **expected[1], **expected[2]}
    for name, value in wanted.items():
        if not _close(found[name], value):
            return f"torch.vmap gives another value of {name}"
    return None


def _agrees(evaluate: Callable[[], Found], expected: Found) -> bool:
    try:
        losses, grads, _ = evaluate()
    except Exception:  # a `view` in the user's forward, which another order of the channels breaks
        return False
    # Of all gradients together: rounding turns single ReLUs on or off, and a few coordinates then differ by more.
    wanted = expected[1]
    gap = torch.stack([(grads[name] - value).norm() for name, value in wanted.items()]).norm()
    size = torch.stack([value.norm() for value in wanted.values()]).norm()
    return _close(losses, expected[0]) and bool(gap <= GAP * size)


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape or not wanted.is_floating_point():
        return found.shape == wanted.shape and bool((found == wanted).all())
    gap, size = (found - wanted).abs(), wanted.abs()
    return not bool((gap > RELATIVE * size + ABSOLUTE * (1 + size.max())).any()) if wanted.numel() else True
