"""What the optimizers made of perceptrons share: a small network on features of each coordinate and on the time."""

import itertools
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.cell import blocks
from l2obench.optimizers.learned.initial_weights import lecun_normal

# τ of the eleven inputs for the time, in steps; the released code's values.
TIMESCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
# Under the root of a feature's mean square: a feature that is zero everywhere stays zero. The released code's value.
EPSILON = 1e-5


class PerceptronOptimizer(LearnedOptimizer, Optimizer):
    """Layers with ReLU, shared over coordinates. Without a memory of its own: what it remembers is in its features.

    Each feature is divided by its root mean square over the tensor (ε = 1e-5 under the root), so these rules are not
    coordinatewise. After the features come eleven inputs for the time, tanh(t / τ − 1) with τ from 1 to 100,000.

    Source: Metz et al. 2019 and 2022; the values are those of their released code (google/learned_optimization).
    """

    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "step_size", "magnitude_scale")
    features: ClassVar[int]
    """How many inputs differ between coordinates."""
    outputs: ClassVar[int] = 2

    hidden: int = Field(default=32, ge=1, le=1024)
    """Units of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=16)
    """Hidden layers."""
    step_size: float = Field(default=1e-3, gt=0)
    """Multiplies the direction d: an untrained network then takes small steps. The default is the released code's."""
    magnitude_scale: float = Field(default=1e-3, gt=0)
    """Multiplies a in the exponent, so that sizes of steps begin near 1. The default is the released code's."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        widths = [self.features + len(TIMESCALES), *[self.hidden] * self.layers, self.outputs]
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            shapes[f"layer{k}.weight"] = (outputs, inputs)
            shapes[f"layer{k}.bias"] = (outputs,)
        return shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        """LeCun normal weights, zeros for all else."""
        return lecun_normal(self.network_shapes(), generator)

    def network_flops(self) -> int:
        """Operations of `network_outputs`, for each coordinate: a feature is squared, summed and scaled."""
        widths = [self.features, *[self.hidden] * self.layers, self.outputs]  # time is the same for all coordinates
        return 3 * self.features + sum(2 * inputs * outputs for inputs, outputs in itertools.pairwise(widths))

    def network_outputs(self, features: Tensor, step: int) -> Tensor:
        """The network's outputs for every coordinate.

        Args:
            features: `[features, seeds, settings, ...]`, not yet divided by their size.
            step: t, updates done.

        Returns:
            `[outputs, seeds, settings, ...]`.
        """
        x = _normalised(features)
        phi = {name: tensor.to(x) for name, tensor in self.meta_parameters.items()}
        time = torch.tanh(step / torch.tensor(TIMESCALES, dtype=x.dtype, device=x.device) - 1)
        first, of_time = torch.split(phi["layer0.weight"], [len(x), len(time)], dim=1)
        layers = [(first, phi["layer0.bias"] + of_time @ time)]
        layers += [(phi[f"layer{k}.weight"], phi[f"layer{k}.bias"]) for k in range(1, self.layers + 1)]
        outputs = []
        for block in blocks(x.shape[1]):
            y = x[:, block]
            for k, (weight, bias) in enumerate(layers):
                y = torch.addmm(bias.unsqueeze(1), weight, y.relu() if k else y)
            outputs.append(y)
        return torch.cat(outputs, dim=1).view(self.outputs, *features.shape[1:])


def _normalised(features: Tensor) -> Tensor:
    """`[features, seeds, settings, ...]` over each feature's root mean square in the tensor, coordinates in a row."""
    rows = features.reshape(*features.shape[:3], -1)
    return (rows * (rows.square().mean(-1, keepdim=True) + EPSILON).rsqrt()).flatten(1)
