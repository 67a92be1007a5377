"""The µ-parametrisation of `adafac-mlp` and `velo`: updates of hidden matrices shrink with their width."""

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.velo import VeLO

OF_EMBEDDINGS = "embed"
"""What the name of an embedding contains; its rows are looked up, so that no dimension of it is a width of inputs."""


def width_factors(params: Mapping[str, Tensor], base_width: float) -> dict[str, float]:
    """What the update of each tensor is multiplied by: base_width / fan-in of hidden matrices, 1 of all else.

    Hidden are the tensors of two dimensions or more, but the first and the last of them and embeddings: of those, one
    of the dimensions is that of data or labels and does not grow with the model. The fan-in counts all dimensions but
    that of outputs.

    Args:
        params: `[seeds, settings, outputs, inputs, ...]` each, in the order of the model.
        base_width: the fan-in at which a hidden matrix moves as it would without this.

    Example:
        >>> import torch
        >>> shapes = {"first": (64, 784), "middle": (64, 64), "bias": (64,), "last": (10, 64)}
        >>> width_factors({name: torch.empty(1, 1, *shape) for name, shape in shapes.items()}, base_width=32)
        {'first': 1.0, 'middle': 0.5, 'bias': 1.0, 'last': 1.0}
    """
    matrices = [name for name, param in params.items() if param.ndim >= 4 and OF_EMBEDDINGS not in name.lower()]
    hidden = set(matrices[1:-1])
    return {name: base_width / math.prod(param.shape[3:]) if name in hidden else 1.0 for name, param in params.items()}


class MuAdafacMLP(AdafacMLP):
    """u = −f · 0.01 · d · exp(0.001 · a) with [d, a] = net(features) as in `adafac-mlp`, but of 32 units.

    f is base_width / fan-in for hidden matrices and 1 for all else, as `width_factors` has it. The model's part of the
    parametrisation is not the optimizer's: weights that start with a variance of 1 / fan-in, a last layer that starts
    at zero, and outputs divided by the width of the last layer's inputs.

    State: that of `adafac-mlp`.

    Source: Thérien et al. 2026, "µLO: Compute-efficient meta-generalization of learned optimizers" (arXiv 2406.00153),
    with the values of the released code (bentherien/mu_learned_optimization, `mup_adafac_mlp_lopt.py` and the commands
    of its README).
    """

    name: ClassVar[str] = "mu-adafac-mlp"
    has_fused_step: ClassVar[bool] = True
    outputs_are_largest: ClassVar[bool] = True

    hidden: int = Field(default=32, ge=1, le=1024)
    """Units of each hidden layer. The default is that of the published µLO."""
    step_size: float = Field(default=0.01, gt=0)
    """Multiplies the direction d. The default is that of the published µLO, ten times that of `adafac-mlp`."""
    base_width: float = Field(default=1.0, gt=0)
    """The fan-in at which a hidden matrix moves as with `adafac-mlp`. 1 is as trained."""

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, state = super().update(grads, state, params)
        return _scaled(updates, params, self.base_width), state


class MuVeLO(VeLO):
    """u = −f · 0.001 · ρ · d · exp(0.001 · a), with ρ, d and a as in `velo`, and without its |θ|.

    f is base_width / fan-in for hidden matrices and 1 for all else, as `width_factors` has it. |θ| falls with the width
    and is 0 for the last layer, which starts there, so that a step in proportion to it would not be that of the
    parametrisation. Weights are mixed with a factor of 1, not of 100. The model's part is as for `mu-adafac-mlp`.

    State: that of `velo`.

    Source: as `mu-adafac-mlp`, with the values of `config/meta_test/mu_hyper_l-16_h-4_pi-8.py`.
    """

    name: ClassVar[str] = "mu-velo"
    has_fused_step: ClassVar[bool] = True
    version: ClassVar[int] = 1
    bank_scale: ClassVar[float] = 1.0
    moves_by_size: ClassVar[bool] = False

    hidden: int = Field(default=16, ge=1, le=1024)
    """Units of the LSTM."""
    bank: int = Field(default=8, ge=1, le=1024)
    """Sets of weights that a tensor's perceptron is mixed from."""
    base_width: float = Field(default=1.0, gt=0)
    """The fan-in at which a hidden matrix moves as it would without the parametrisation. 1 is as trained."""

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, state = super().update(grads, state, params)
        return _scaled(updates, params, self.base_width), state


def _scaled(updates: Tensors, params: Tensors, base_width: float) -> Tensors:
    factors = width_factors(params, base_width)
    return {name: update if factors[name] == 1 else update * factors[name] for name, update in updates.items()}
