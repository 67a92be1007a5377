"""ELO's two rules: those of `adafac-mlp` and of `celo2`, as they are trained beside an expert for long horizons."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.replica_rows import flatten_replicas
from l2obench.optimizers.base import State, Tensors, per_replica
from l2obench.optimizers.learned.accumulators import SQUARE_DECAY, Accumulators
from l2obench.optimizers.learned.adafac_mlp import SMALLEST_OF_VECTORS, AdafacMLP
from l2obench.optimizers.learned.celo2 import Celo2
from l2obench.optimizers.learned.coordinate_features import accumulate_gradient
from l2obench.optimizers.learned.fused.step import Rates, fixed_rates
from l2obench.optimizers.learned.perceptron import PerceptronOptimizer
from l2obench.optimizers.search_space import ADAPTIVE_RATE, Dimension, LogRange

SQUARE_EPSILON = 1e-6


class ELO(AdafacMLP):
    """θ ← θ − lr (d · exp(0.001 a) + λ θ) with [d, a] = net(features): two layers of 32 units, 39 inputs.

    Features are those of `adafac-mlp`; the decays of its accumulators are fixed at 0.9, 0.99 and 0.999 (0.999 for v).
    NaN in a gradient counts as 0. The gradients of a replica are first scaled to a norm of at most `max_norm`.

    The rule has no schedule: it is the user's. ELO is above all a way to train it: its first steps imitate an expert,
    and trajectories that go wrong late are continued. That training is not here.

    State: that of `adafac-mlp`.

    Source: ELO (arXiv 2607.06772), the form with the network of Metz et al. 2022, with the values of the released code
    (xiaol827/ELO).
    """

    name: ClassVar[str] = "elo"
    has_fused_step: ClassVar[bool] = True
    tunable: ClassVar[tuple[str, ...]] = ("lr",)  # the size of a step is the user's, as its authors have it
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "weight_decay": LogRange(1e-4, 1.0),
    }
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "magnitude_scale")
    outputs_are_largest: ClassVar[bool] = True

    hidden: int = Field(default=32, ge=1, le=1024)
    """Units of each hidden layer."""
    step_size: float = Field(default=1.0, ge=1, le=1)
    """Always 1: the size of a step is `lr`."""
    lr: float = Field(default=1e-3, gt=0)
    """η."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled: each step takes the share lr · λ from θ."""
    max_norm: float = Field(default=0.0, ge=0)
    """The largest norm of all gradients of a replica together; 0: they stay as they are."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        """The perceptron alone."""
        return PerceptronOptimizer.network_shapes(self)

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, state = super().update(clip_to_norm(without_nan(grads), self.max_norm), state, params)
        for name, param in params.items():
            updates[name] = updates[name] - per_replica(self.lr, param) * self.weight_decay * param
        return updates, state

    def _accumulate_gradient(self, grad: Tensor, memory: State) -> tuple[Accumulators, State]:
        """The accumulators with a gradient in them, and the tensor's next state."""
        return accumulate_gradient(grad, memory, SQUARE_DECAY, SQUARE_EPSILON, SMALLEST_OF_VECTORS)

    def _fused_rates(self) -> Rates:
        return fixed_rates(SQUARE_DECAY)


class ELOCelo2(Celo2):
    """`celo2` as ELO trains it: gradients of a replica scaled to a norm of at most 1, λ = 0.1.

    State: that of `celo2`.

    Source: ELO (arXiv 2607.06772), the form with Celo2's network, with the values of the released code (xiaol827/ELO).
    """

    name: ClassVar[str] = "elo-celo2"
    has_fused_step: ClassVar[bool] = True

    weight_decay: float = Field(default=0.1, ge=0)
    """λ, decoupled."""
    max_norm: float = Field(default=1.0, ge=0)
    """The largest norm of all gradients of a replica together; 0: they stay as they are."""

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        return super().update(clip_to_norm(without_nan(grads), self.max_norm), state, params)


def without_nan(grads: Tensors) -> Tensors:
    """Gradients with 0 in place of NaN.

    Args:
        grads: `[seeds, settings, ...]` each.
    """
    return {name: torch.where(grad.isnan(), torch.zeros_like(grad), grad) for name, grad in grads.items()}


def clip_to_norm(grads: Tensors, max_norm: float) -> Tensors:
    """Gradients of each replica scaled so that their common norm is at most `max_norm`.

    Args:
        grads: `[seeds, settings, ...]` each.
        max_norm: in the unit of the gradients; 0: nothing is scaled.

    Example:
        >>> grads = {"w": torch.tensor([[[3.0, 0.0]]]), "b": torch.tensor([[4.0]])}
        >>> {name: grad.flatten().tolist() for name, grad in clip_to_norm(grads, 1.0).items()}
        {'w': [0.6000000238418579, 0.0], 'b': [0.800000011920929]}
    """
    if not max_norm:
        return grads
    norm = flatten_replicas(grads).norm(dim=-1)
    factor = max_norm / norm.clamp_min(max_norm)
    return {name: grad * per_replica(factor, grad) for name, grad in grads.items()}
