"""Celo: a small perceptron for every coordinate, and one learned schedule for the whole model."""

import itertools
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use, per_replica
from l2obench.optimizers.learned.accumulators import SQUARE_DECAY, initial_accumulators
from l2obench.optimizers.learned.coordinate_features import (
    FEATURES,
    LARGEST_GRADIENT,
    accumulate_gradient,
    coordinate_features,
)
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import Formula, Network, as_network, fixed_rates, fused_step, mean_squares
from l2obench.optimizers.learned.learned_schedule import (
    initial_schedule,
    random_weights,
    schedule_shapes,
    scheduled_factor,
)

WIDTHS = (FEATURES, 4, 4, 2)
# The released code's values, with which published weights were trained: others would give another rule.
STEP_SIZE = MAGNITUDE_SCALE = 1e-3
FEATURE_EPSILON = 1e-5
SQUARE_EPSILON = 1e-6
FORMULA = Formula(
    like_celo=True,
    largest_gradient=LARGEST_GRADIENT,
    epsilon=SQUARE_EPSILON,
    feature_epsilon=FEATURE_EPSILON,
    magnitude_scale=MAGNITUDE_SCALE,
)


class Celo(FusedRule, Optimizer):
    """u = −0.001 · ρ · S · d · exp(0.001 · a) with [d, a] = net(features), S = √(mean(θ²) + 1e-9) over the tensor.

    The perceptron has 30 inputs and two layers of four units with ReLU. Its inputs are those of `coordinate_features`
    with β = 0.999 for v and ε = 1e-6. Each is divided by its root mean square over the tensor (ε = 1e-5 under the
    root). ρ is one number for the whole model, from `scheduled_factor`. Gradients are first kept within ±1000.

    Celo must know the number of steps and the loss: the engine gives both by `observe`.

    State: what `initial_schedule` says, and under `of` the accumulators of each tensor by its name; `loss` and
    `horizon` `[seeds, settings]` come from `observe`.

    Source: Moudgil et al. 2025, "Celo: Training versatile learned optimizers on a compute diet" (arXiv 2501.12670),
    with the values of the released code (amoudgl/celo).
    """

    name: ClassVar[str] = "celo"
    has_fused_step: ClassVar[bool] = True
    uses: ClassVar[tuple[Use, ...]] = ("loss", "horizon")
    architecture: ClassVar[tuple[str, ...]] = ("hidden",)

    hidden: int = Field(default=64, ge=1, le=1024)
    """Units of the schedule's LSTM."""
    lr: float = Field(default=1.0, ge=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = schedule_shapes(self.hidden)
        for k, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
            shapes |= {f"layer{k}.weight": (outputs, inputs), f"layer{k}.bias": (outputs,)}
        return shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        return random_weights(self.network_shapes(), self.hidden, generator)

    def flops_per_coordinate(self) -> float | None:
        """Of a vector; of a larger tensor the factors are shared by rows and columns. The schedule is not in it."""
        accumulators = 1 + 3 * 3 + 3 + 1 + 3 * 3  # g², m, v, + 1e-30, w
        features = 2 + 3 + 1 + 3 * (3 + 3 + 2 + 2)  # 1 / √v, m / √v, g / √v; g s and m s, 1 / √r and 1 / √c
        network = 3 * FEATURES + sum(2 * inputs * outputs for inputs, outputs in itertools.pairwise(WIDTHS))
        return 2 + accumulators + features + network + 4  # the mean of θ²; exp, its scale, ρ S, the product

    def init(self, params: Tensors) -> State:
        self.require_trained()
        first = next(iter(params.values()))
        of = {name: initial_accumulators(param, outputs_are_largest=True) for name, param in params.items()}
        return {**initial_schedule(self.meta_parameters, first), "of": of}

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "loss": losses, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "loss" not in state:
            raise ValueError("celo needs the loss and the number of steps: call `observe` before each update")
        phi = {name: tensor.to(state["loss"]) for name, tensor in self.meta_parameters.items()}
        factor, following = scheduled_factor(phi, state, state["loss"], state["horizon"])
        updates, memory = {}, {}
        network: Network | None = None
        for name, param in params.items():
            is_fused = self.can_fuse(grads[name], param, state["of"][name])
            mean_square = mean_squares(param) if is_fused else param.reshape(*param.shape[:2], -1).square().mean(-1)
            size = (mean_square + 1e-9).sqrt() * factor * (-STEP_SIZE * self.lr)
            if is_fused:
                network = network or as_network(perceptron_layers(phi))
                updates[name], memory[name] = fused_step(
                    grads[name], param, state["of"][name], fixed_rates(SQUARE_DECAY), FORMULA, network, size
                )
                continue
            grad = grads[name].clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
            known, memory[name] = accumulate_gradient(grad, state["of"][name], SQUARE_DECAY, SQUARE_EPSILON)
            direction, magnitude = perceptron(phi, normalised(coordinate_features(grad, param, known)))
            updates[name] = direction * (magnitude * MAGNITUDE_SCALE).exp() * per_replica(size, grad)
        return updates, {**following, "of": memory}


def normalised(features: Tensor) -> Tensor:
    """Features, each over its root mean square in the tensor.

    Args:
        features: `[features, seeds, settings, ...]`.
    """
    dims = tuple(range(3, features.ndim))
    mean_square = features.square().mean(dims, keepdim=True) if dims else features.square()
    return features * (mean_square + FEATURE_EPSILON).rsqrt()


def perceptron(phi: Tensors, features: Tensor) -> Tensor:
    """Outputs of a perceptron with ReLU between its layers.

    Args:
        phi: meta-parameters by name; the layers are `layer0`, `layer1`, ….
        features: `[features, seeds, settings, ...]`, from `normalised`.

    Returns:
        `[outputs, seeds, settings, ...]`.
    """
    y = features.flatten(1)
    for k, (weight, bias) in enumerate(perceptron_layers(phi)):
        y = torch.addmm(bias.unsqueeze(1), weight, y.relu() if k else y)
    return y.view(-1, *features.shape[1:])


def perceptron_layers(phi: Tensors) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the layers of a perceptron, in their order.

    Args:
        phi: meta-parameters by name; the layers are `layer0`, `layer1`, ….
    """
    count = sum(name.startswith("layer") for name in phi) // 2
    return [(phi[f"layer{k}.weight"], phi[f"layer{k}.bias"]) for k in range(count)]
