"""Initial weights in the ways that people draw them."""

import math
from typing import Literal

import torch
from torch import Tensor

Initialisation = Literal["torch", "he", "xavier", "small"]


def initial_weights(how: Initialisation, generator: torch.Generator, *shape: int) -> Tensor:
    """Gaussian weights `[outputs, inputs, ...]`, with fan-in the product of all dimensions but the first.

    Standard deviation: `torch` 1/√(3 fan-in), that of `torch.nn.Linear`; `he` √(2/fan-in); `xavier` 1/√fan-in; `small`
    0.02.

    Args:
        how: the way.
        generator: the source of randomness.
        shape: of the weights.

    Example:
        >>> initial_weights("xavier", torch.Generator().manual_seed(0), 400, 100).std().round(decimals=2)
        tensor(0.1000)

    Source: He et al. 2015, equation 10; Glorot & Bengio 2010, equation 12, for equal fans; Radford et al. 2019 (GPT-2)
        for 0.02.
    """
    fan_in = math.prod(shape[1:])
    deviation: float = {
        "torch": (3 * fan_in) ** -0.5,
        "he": (2 / fan_in) ** 0.5,
        "xavier": fan_in**-0.5,
        "small": 0.02,
    }[how]
    return torch.randn(*shape, generator=generator) * deviation
