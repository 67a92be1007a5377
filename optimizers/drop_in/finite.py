"""Whether gradients are finite, at the cost of one pass over them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from l2obench.optimizers.drop_in.shards import whole_of


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no coordinate is NaN or infinite.

    A sum is the cheapest test: it is finite only if all its terms are. Where finite terms overflow it, each is looked
    at. Devices answer once for each type, since an answer waits for all that was asked of the device before.

    Args:
        tensors: of any shapes, types and devices.

    Example:
        >>> all_finite([torch.full((2,), 3e38), torch.zeros(0)])
        True
        >>> all_finite([torch.tensor([math.inf, -math.inf])])
        False
    """
    batches: dict[tuple[type, torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        batches.setdefault((type(tensor), tensor.device, tensor.dtype), []).append(tensor)
    for (_, _, dtype), own in batches.items():
        wide = torch.promote_types(dtype, torch.float32)
        # To name the type costs a tenth of the call.
        sums = [tensor.sum() if wide is dtype else tensor.sum(dtype=wide) for tensor in own]
        total = sums[0] if len(sums) == 1 else torch.stack(sums).sum()
        # Shards are summed over their processes, which so come to the same answer.
        if not math.isfinite(float(whole_of(total))) and not all(_all_finite(tensor) for tensor in own):
            return False
    return True


def _all_finite(tensor: Tensor) -> bool:
    return not float(whole_of((~tensor.isfinite()).sum()))
