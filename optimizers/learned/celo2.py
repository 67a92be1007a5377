"""Celo2: a learned direction for every coordinate, orthogonalised and of size 1; the step size is the user's."""

import itertools
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, blend, per_replica
from l2obench.optimizers.designed.newton_schulz import newton_schulz
from l2obench.optimizers.learned.accumulators import initial_accumulators
from l2obench.optimizers.learned.celo import perceptron, perceptron_layers
from l2obench.optimizers.learned.coordinate_features import (
    FEATURES,
    LARGEST_GRADIENT,
    VECTOR_FEATURES,
    accumulate_gradient,
    coordinate_features,
)
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import Formula, as_network, fixed_rates, fused_step, mean_squares
from l2obench.optimizers.learned.initial_weights import lecun_normal
from l2obench.optimizers.search_space import ADAPTIVE_RATE, Dimension, LogRange

HIDDEN = 8
WIDTHS = (FEATURES, HIDDEN, HIDDEN, 1)
SQUARE_DECAY = 0.95
SQUARE_EPSILON = 1e-8
SIZE_EPSILON = 1e-9
"""Under the roots of mean squares: of features and of the direction."""
FORMULA = Formula(
    like_celo=True,
    largest_gradient=LARGEST_GRADIENT,
    epsilon=SQUARE_EPSILON,
    feature_epsilon=SIZE_EPSILON,
)
BETA1, BETA2, ADAM_EPSILON = 0.9, 0.95, 1e-8


class Celo2(FusedRule, Optimizer):
    """θ ← θ − lr (D + λ θ) for matrices, with D = net(features), orthogonalised and then brought to rms 1.

    The perceptron has 30 inputs, two layers of eight units with ReLU, and one output. Its inputs are those of
    `coordinate_features` with β = 0.95 for v and ε = 1e-8, each over its root mean square. Root mean squares and
    Newton–Schulz's five steps are taken over the matrix [outputs, inputs] of a tensor; a filter `[outputs, inputs,
    height, width]` is one such matrix for each place of the kernel.

    Vectors, scalars and parameters with `embed` in their names follow Adam (β 0.9 and 0.95, ε 1e-8, corrected) at
    `vector_multiple` times the rate, with the same λ. Gradients are first kept within ±1000.

    The rule has no schedule: its authors use a warm-up and a cosine, and tune the rate.

    State: `step`, and under `of` for each tensor by its name its accumulators, or `mean` and `square`
    `[seeds, settings, ...]` of Adam.

    Source: Moudgil et al. 2026, "Celo2" (arXiv 2602.19142), with the values of its README and of the port in
    Belilovsky-Lab/pylo.
    """

    name: ClassVar[str] = "celo2"
    has_fused_step: ClassVar[bool] = True
    tunable: ClassVar[tuple[str, ...]] = ("lr",)  # the size of a step is the user's, as its authors have it
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "vector_multiple": LogRange(0.1, 100.0),
        "weight_decay": LogRange(1e-4, 1.0),
    }
    architecture: ClassVar[tuple[str, ...]] = ()

    lr: float = Field(default=1e-3, ge=0)
    """η. Meta-training had 1e-3; published trainings use 3e-5 to 1e-3, tuned."""
    vector_multiple: float = Field(default=20.0, gt=0)
    """The rate of vectors, scalars and embeddings, in multiples of `lr`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
            shapes |= {f"layer{k}.weight": (outputs, inputs), f"layer{k}.bias": (outputs,)}
        return shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        """LeCun normal weights, zero biases."""
        return lecun_normal(self.network_shapes(), generator)

    def init(self, params: Tensors) -> State:
        self.require_trained()
        return {"step": 0, "of": {name: self._initial(name, param) for name, param in params.items()}}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        step = state["step"] + 1
        updates, memory = {}, {}
        for name, param in params.items():
            learned = self._is_learned(name, param)
            move = self._learned_direction if learned else _adam_direction
            direction, memory[name] = move(grads[name], state["of"][name], param, step)
            rate = self.lr if learned else self.lr * self.vector_multiple
            decay = param * self.weight_decay
            if torch.is_grad_enabled():
                updates[name] = (direction + decay) * (-per_replica(rate, param))
            else:
                # Nobody else has the decay: its memory is the update's.
                updates[name] = decay.add_(direction).mul_(-per_replica(rate, param))
        return updates, {"step": step, "of": memory}

    def _is_learned(self, name: str, param: Tensor) -> bool:
        """Whether the perceptron moves this parameter `[seeds, settings, ...]`; Adam does otherwise."""
        return param.ndim >= 4 and "embed" not in name.lower()

    def _initial(self, name: str, param: Tensor) -> State:
        if self._is_learned(name, param):
            return initial_accumulators(param, outputs_are_largest=True)
        return {"mean": torch.zeros_like(param), "square": torch.zeros_like(param)}

    def _learned_direction(self, grad: Tensor, memory: State, param: Tensor, step: int) -> tuple[Tensor, State]:
        phi = {name: tensor.to(grad) for name, tensor in self.meta_parameters.items()}
        # A filter has root mean squares for each place of its kernel, which the compiled step does not.
        if grad.shape[4:].numel() == 1 and self.can_fuse(grad, param, memory):
            outputs, memory = self._fused_outputs(phi, grad, param, memory)
            direction = self._orthogonalised(outputs)
            size = (mean_squares(direction) + SIZE_EPSILON).sqrt()
            return direction.div_(per_replica(size, direction)), memory
        grad = _kept_within(grad)
        known, memory = accumulate_gradient(grad, memory, SQUARE_DECAY, SQUARE_EPSILON)
        features = coordinate_features(grad, param, known)
        if grad.ndim < 4:
            # The weights of the factors' features go unused for vectors: their features count as zeros.
            features = torch.cat([features[:VECTOR_FEATURES], torch.zeros_like(features[VECTOR_FEATURES:])])
        outputs = perceptron(phi, _unit_size(features, 1))[0]
        return _unit_size(self._orthogonalised(outputs), 0), memory

    def _fused_outputs(self, phi: Tensors, grad: Tensor, param: Tensor, memory: State) -> tuple[Tensor, State]:
        """The network's outputs as one program does them, and the next state."""
        (first, bias), *others = perceptron_layers(phi)
        if grad.ndim < 4:
            first = torch.cat([first[:, :VECTOR_FEATURES], torch.zeros_like(first[:, VECTOR_FEATURES:])], dim=1)
        network = as_network([(first, bias), *others])
        return fused_step(grad, param, memory, fixed_rates(SQUARE_DECAY), FORMULA, network)

    def _orthogonalised(self, direction: Tensor) -> Tensor:
        """The direction `[seeds, settings, outputs, inputs, ...]` with all singular values near 1."""
        return newton_schulz(direction.movedim((2, 3), (-2, -1))).movedim((-2, -1), (2, 3))


class Celo2Base(Celo2):
    """θ ← θ − lr (D + λ θ) for every tensor, with D = net(features) brought to rms 1: no Newton–Schulz, no Adam.

    Vectors and scalars have no factors: the last fifteen features are left out for them.

    Source: Moudgil et al. 2026, "Celo2" (arXiv 2602.19142). Its weights are other ones than Celo2's.
    """

    name: ClassVar[str] = "celo2-base"
    has_fused_step: ClassVar[bool] = True
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "weight_decay": LogRange(1e-4, 1.0),
    }

    vector_multiple: float = Field(default=1.0, gt=0, le=1.0)
    """Always 1: all tensors have the same rate."""

    def _is_learned(self, name: str, param: Tensor) -> bool:
        return True

    def _orthogonalised(self, direction: Tensor) -> Tensor:
        return direction


def _unit_size(values: Tensor, leading: int) -> Tensor:
    """Values over their root mean square in the matrix `[outputs, inputs]`, or in all of a vector.

    Args:
        values: `leading` dimensions, then `[seeds, settings, ...]`.
        leading: how many.
    """
    dims = tuple(range(leading + 2, values.ndim))[:2]
    mean_square = values.square().mean(dims, keepdim=True) if dims else values.square()
    return values * (mean_square + SIZE_EPSILON).rsqrt()


def _kept_within(grad: Tensor) -> Tensor:
    """The gradient within ±1000. The compiled step does that itself."""
    return grad.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)


def _adam_direction(grad: Tensor, memory: State, param: Tensor, step: int) -> tuple[Tensor, State]:
    """Adam's m̂ / (√v̂ + ε), and its moments."""
    grad = _kept_within(grad)
    mean = blend(memory["mean"], grad, 1 - BETA1)
    square = blend(memory["square"], grad * grad, 1 - BETA2)
    scale = (square / (1 - BETA2**step)).sqrt() + ADAM_EPSILON
    return mean / (1 - BETA1**step) / scale, {"mean": mean, "square": square}
