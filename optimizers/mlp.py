"""The learned optimizer of Metz et al.: a small perceptron for every coordinate, without a memory of its own."""

import itertools
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from optimizers.base import Optimizer, State, Tensors, blend, per_replica
from optimizers.cell import blocks
from optimizers.learned import LearnedOptimizer

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
TIMESCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
EPSILON = 1e-5


class MLP(LearnedOptimizer, Optimizer):
    """u = −0.001 · d · exp(0.001 · a) with [d, a] = net(features), for every coordinate.

    The 19 features: the gradient, the parameter and six momenta m_β ← β m_β + (1 − β) g with β of 0.1, 0.5, 0.9, 0.99,
    0.999 and 0.9999, each divided by its root mean square over the tensor (ε = 1e-5 under the root); and the time,
    tanh(t / τ − 1) for eleven τ from 1 to 100,000. The network: two layers of 32 units with ReLU, shared over
    coordinates.

    Source: Metz et al. 2019, "Understanding and correcting pathologies in the training of learned optimizers", with the
    values of their released code (google/learned_optimization, `mlp_lopt.py`). Because a feature is divided by its size
    over the tensor, this rule is not coordinatewise.
    """

    name: ClassVar[str] = "mlp"
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "step_size", "magnitude_scale")

    hidden: int = Field(default=32, ge=1, le=1024)
    layers: int = Field(default=2, ge=1, le=16)
    """Hidden layers."""
    step_size: float = Field(default=1e-3, gt=0)
    magnitude_scale: float = Field(default=1e-3, gt=0)
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        widths = [2 + len(DECAYS) + len(TIMESCALES), *[self.hidden] * self.layers, 2]
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            shapes[f"layer{k}.weight"] = (outputs, inputs)
            shapes[f"layer{k}.bias"] = (outputs,)
        return shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        """LeCun normal weights, zero biases."""
        return {
            name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5
            if name.endswith("weight")
            else torch.zeros(shape)
            for name, shape in self.network_shapes().items()
        }

    def flops_per_coordinate(self) -> float | None:
        features = 2 + len(DECAYS)
        widths = [features, *[self.hidden] * self.layers, 2]  # time is the same for all coordinates
        products = sum(2 * inputs * outputs for inputs, outputs in itertools.pairwise(widths))
        return 3 * len(DECAYS) + 3 * features + products + 4  # a feature: squared, summed, scaled

    def init(self, params: Tensors) -> State:
        self.require_trained()
        momenta = {name: value.new_zeros(len(DECAYS), *value.shape) for name, value in params.items()}
        return {"momenta": momenta, "step": 0}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, momenta = {}, {}
        for name, grad in grads.items():
            weights = 1 - torch.tensor(DECAYS, dtype=grad.dtype, device=grad.device).view(-1, *[1] * grad.ndim)
            momenta[name] = blend(state["momenta"][name], grad.expand(len(DECAYS), *grad.shape), weights)
            features = torch.cat([grad[None], params[name][None], momenta[name]])
            direction, magnitude = self._network(_normalised(features), state["step"])
            update = direction * (magnitude * self.magnitude_scale).exp()
            updates[name] = update.view_as(grad) * (-self.step_size * per_replica(self.lr, grad))
        return updates, {"momenta": momenta, "step": state["step"] + 1}

    def _network(self, x: Tensor, step: int) -> Tensor:
        """Direction and magnitude, `[2, coordinates]`, from the features that differ between coordinates."""
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
        return torch.cat(outputs, dim=1)


def _normalised(features: Tensor) -> Tensor:
    """`[features, seeds, settings, ...]` over each feature's root mean square in the tensor, coordinates in a row."""
    rows = features.reshape(*features.shape[:3], -1)
    return (rows * (rows.square().mean(-1, keepdim=True) + EPSILON).rsqrt()).flatten(1)
