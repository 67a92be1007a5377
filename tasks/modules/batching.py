"""Whether replicas of a module run together: tried once, on two replicas of one step, then decided by a stated rule."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from l2obench.tasks.base import Tensors
from l2obench.tasks.modules.batches import BadModule

FEW = 8
"""Replicas below which `torch.vmap` costs more than it saves: it takes as long as ten plain steps of a small model."""
LARGE = 1e8
"""Operations of one replica's gradient above which a processor is busy with one, and one after the other is faster."""
LARGE_ON_GPU = 1e10
"""The same on a GPU, which one replica fills much later."""
REPLICAS = 2
"""Replicas of a try."""
# Float32 sums in another order differ by less; another mask of dropout or another statistic differs by far more.
RELATIVE, ABSOLUTE = 1e-3, 1e-4

Found = tuple[Tensor, Tensors, Tensors]
"""Losses, gradients, buffers."""
Evaluation = Callable[[Tensors, Tensors, Tensors], Found]
Together = Callable[[Tensors, Tensors, Tensors, bool], Found]
"""The same by `torch.vmap`; the last argument says whether every setting gets its own view of the minibatch."""


@dataclass(frozen=True)
class Batching:
    """What a try says."""

    refused: str | None
    """Why replicas can't run together; None: they can."""
    flops: int
    """Multiplications and additions of one replica's loss and gradient."""
    saved_bytes: int
    """What one replica's graph keeps for the backward pass."""
    own_views: bool = False
    """Whether every setting needs its own view of the minibatch, which all settings of a seed share."""

    def together(self, replicas: int, device: str) -> bool:
        """Whether so many replicas run together: where they can, are not few, and none is large.

        Args:
            replicas: how many there are.
            device: `cpu` or `cuda`.

        Example:
            >>> Batching(refused=None, flops=10_000, saved_bytes=0).together(replicas=20, device="cpu")
            True
        """
        large = LARGE_ON_GPU if device == "cuda" else LARGE
        return self.refused is None and replicas >= FEW and self.flops <= large


def try_batching(
    one_by_one: Evaluation, together: Together, params: Tensors, buffers: Tensors, batch: Tensors
) -> Batching:
    """Evaluate two replicas both ways, and compare.

    Args:
        one_by_one: what both ways are held against.
        together: by `torch.vmap`, with one minibatch for all settings of a seed, or with a view of it for each.
        params: `[1, 2, ...]`.
        buffers: likewise.
        batch: `[1, ...]`.

    Raises:
        BadModule: the model writes into its parameters.
    """
    one = {name: value[:, :1].clone() for name, value in params.items()}
    own = {name: value[:, :1].clone() for name, value in buffers.items()}
    counter = FlopCounterMode(display=False)
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        one_by_one(one, own, batch)
    before = {name: value.clone() for name, value in params.items()}
    expected = one_by_one(params, buffers, batch)
    for name, value in before.items():
        if not torch.equal(value, params[name]):
            raise BadModule(
                f"the model must not write into its parameters, got a new {name!r} after an evaluation. "
                "Try: compute the constrained value in forward"
            )
    # PyTorch counts no operation of a fused LSTM, which `torch.vmap` takes apart into those that it counts.
    apart = FlopCounterMode(display=False)
    with apart:
        refused = _refusal(lambda: together(params, buffers, batch, False), expected)
    flops = max(counter.get_total_flops(), apart.get_total_flops() // REPLICAS if refused is None else 0)
    # PyTorch batches mse_loss, huber_loss and smooth_l1_loss twice only where both arguments are batched twice.
    own_views = refused is not None and _refusal(lambda: together(params, buffers, batch, True), expected) is None
    return Batching(None if own_views else refused, flops, sum(saved.values()), own_views)


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


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape or not wanted.is_floating_point():
        return found.shape == wanted.shape and bool((found == wanted).all())
    gap, size = (found - wanted).abs(), wanted.abs()
    return not bool((gap > RELATIVE * size + ABSOLUTE * (1 + size.max())).any()) if wanted.numel() else True
