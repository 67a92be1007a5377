"""The random weights that perceptrons and schedules begin meta-training with."""

from collections.abc import Mapping

import torch

from l2obench.foundation.tensors import Tensors


def lecun_normal(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> Tensors:
    """LeCun normal weights, zeros for all else.

    Args:
        shapes: of each tensor by name. Weights have names that end in `weight`, and their inputs in the last dimension.
        generator: drawn from in the order of `shapes`.

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.
    """
    return {
        name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5
        if name.endswith("weight")
        else torch.zeros(shape)
        for name, shape in shapes.items()
    }
