"""RNNprop: an LSTM whose inputs are Adam's and RMSprop's directions, and whose steps are bounded."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import elu

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, Tensors, blend, per_replica, root
from l2obench.optimizers.learned.cell import (
    BLOCK,
    blocks,
    fold_candidate_gate,
    layers_of,
    layers_step,
    layers_step_in_place,
    random_network,
)
from l2obench.optimizers.learned.fused.layers import MOST_UNITS, fused_cells
from l2obench.optimizers.learned.fused.rule import FusedRule


class RNNprop(FusedRule, CoordinatewiseOptimizer):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², u = −α · tanh(net(g / s, m̂ / s)) with s = √v̂ + ε.

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) as in Adam. The network, shared over coordinates: a linear layer with ELU,
    layers of LSTM cells, a linear output, each 20 wide. Its inputs do not depend on the scale of the loss.

    State of a tensor: `mean` m and `square` v, of its shape; `step` t; `hidden` and `cell` as in `lstm`.

    Source: Lv, Jiang & Li 2017, "Learning gradient descent: better generalization and longer horizons", section 4, with
    the values of their code (β₁ = β₂ = 0.95, α = 0.1, ε = 1e-8 outside the root). Their tricks of training, random
    scaling of the optimizee and convex terms added to it, are no part of the rule, and not here.
    """

    name: ClassVar[str] = "rnnprop"
    has_fused_step: ClassVar[bool] = True
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "beta1", "beta2", "epsilon", "step_size", "networks")
    compiled_up_to: ClassVar[float] = BLOCK

    hidden: int = Field(default=20, ge=1, le=1024)
    """Units of every layer. The default is that of the authors' code, as are those below."""
    layers: int = Field(default=2, ge=1, le=16)
    """Layers of LSTM cells."""
    beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of gradients for each step."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to √v̂, in the unit of a gradient: against division by zero."""
    step_size: float = Field(default=0.1, gt=0)
    """α, the bound of an update."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained. For learning-rate schedules on the drop-in optimizer."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        units = self.hidden
        shapes: dict[str, tuple[int, ...]] = {"input.weight": (units, 2), "input.bias": (units,)}
        for k in range(self.layers):
            shapes[f"lstm{k}.weight"] = (4 * units, 2 * units)
            shapes[f"lstm{k}.bias"] = (4 * units,)
        return {**shapes, "output.weight": (1, units), "output.bias": (1,)}

    def random_network(self, generator: torch.Generator) -> Tensors:
        return random_network(self.network_shapes(), generator)

    def flops_per_coordinate(self) -> float | None:
        inputs = 3 + 1 + 3 + 6  # m, g², v; s takes three, the quotients another three
        network = self.hidden * (4 + 1) + self.layers * self.hidden * (8 * 2 * self.hidden + 4 + 5) + 2 * self.hidden
        return inputs + network + 2  # tanh, scale

    def init_tensor(self, param: Tensor) -> State:
        self.require_trained()
        moments = {"mean": torch.zeros_like(param), "square": torch.zeros_like(param), "step": 0}
        shape = (self.layers, self.hidden, *param.shape)
        return {**moments, "hidden": param.new_zeros(shape), "cell": param.new_zeros(shape)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        step = state["step"] + 1
        mean = blend(state["mean"], grad, 1 - self.beta1)
        square = blend(state["square"], grad * grad, 1 - self.beta2)
        scale = root(square / (1 - self.beta2**step)) + self.epsilon
        rows = [part.reshape(-1) for part in (grad, mean, scale)]

        def inputs_of(part: slice) -> Tensor:
            grads, means, scales = (row[part] for row in rows)
            return torch.stack([grads / scales, means / (scales * (1 - self.beta1**step))])

        shape = state["hidden"].shape
        memory = [state[part].view(self.layers, self.hidden, -1) for part in ("hidden", "cell")]
        if self.can_fuse(grad, param, state) and self.hidden <= MOST_UNITS:
            names = ["input", *(f"lstm{k}" for k in range(self.layers)), "output"]
            output, hidden, cell = fused_cells(self.meta_parameters, names, inputs_of, *memory)
        else:
            output, hidden, cell = self._network(inputs_of(slice(None)), *memory)
        update = output.view_as(grad).tanh() * (-self.step_size * per_replica(self.lr, grad))
        memory_after = {"hidden": hidden.view(shape), "cell": cell.view(shape)}
        return update, {"mean": mean, "square": square, "step": step, **memory_after}

    def _network(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Output `[coordinates]`, next hidden and cell; without a graph in blocks, as the LSTM."""
        phi = {name: tensor.to(x) for name, tensor in self.meta_parameters.items()}
        layers = layers_of(phi, self.layers)
        if torch.is_grad_enabled():
            top, hidden, cell = layers_step(layers, elu(_linear(phi, "input", x)), hidden, cell)
            return _linear(phi, "output", top)[0], hidden, cell
        layers, outputs = fold_candidate_gate(layers), []
        for block in blocks(x.shape[1]):
            y = elu(_linear(phi, "input", x[:, block]))
            top = layers_step_in_place(layers, y, hidden[:, :, block], cell[:, :, block])
            outputs.append(_linear(phi, "output", top)[0])
        return torch.cat(outputs), hidden, cell


def _linear(phi: Tensors, name: str, x: Tensor) -> Tensor:
    return torch.addmm(phi[f"{name}.bias"].unsqueeze(1), phi[f"{name}.weight"], x)
