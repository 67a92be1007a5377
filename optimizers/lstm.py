"""The paper's learned optimizer: a small LSTM applied to every coordinate, with its own state for each."""

from typing import ClassVar

import torch
from torch import Tensor

from optimizers.base import CoordinatewiseOptimizer, State, Tensors, per_replica
from optimizers.cell import blocks, folded, layers_of, layers_step, layers_step_in_place
from optimizers.recurrent import RecurrentOptimizer


class LSTM(RecurrentOptimizer, CoordinatewiseOptimizer):
    """[u, s'] = output_scale · m(preprocess(g), s; φ), where m stacks LSTM layers under one linear output.

    Source: Andrychowicz et al. 2016, section 2.1 (two layers of 20 units, shared over coordinates) and appendix A
    (preprocessing). Gates are ordered input, forget, output, candidate; one bias a gate. Memory is feature-major:
    `hidden` and `cell` are `[layers, units, *param.shape]`.
    """

    name: ClassVar[str] = "lstm"
    architecture: ClassVar[tuple[str, ...]] = (*RecurrentOptimizer.architecture, "networks")

    def init_tensor(self, param: Tensor) -> State:
        self.require_trained()
        shape = (self.layers, self.hidden, *param.shape)
        return {"hidden": param.new_zeros(shape), "cell": param.new_zeros(shape)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        phi = self._phi(grad)
        hidden = state["hidden"].view(self.layers, self.hidden, -1)
        cell = state["cell"].view(self.layers, self.hidden, -1)
        flat = grad.reshape(-1)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            output, hidden, cell = self._step(phi, flat, hidden, cell)
        else:
            output = self._step_in_place(phi, flat, hidden, cell)
        scale = self.output_scale * per_replica(self.lr, grad)
        shape = state["hidden"].shape
        return output.view_as(grad) * scale, {"hidden": hidden.view(shape), "cell": cell.view(shape)}

    def _step(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step as a graph: output `[coordinates]`, next hidden and cell `[layers, units, coordinates]`."""
        x, hidden, cell = layers_step(layers_of(phi, self.layers), self.preprocess(grad), hidden, cell)
        return (phi["output.weight"] @ x + phi["output.bias"])[0], hidden, cell

    def _step_in_place(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """The same step without a graph: blocks of coordinates that stay in the cache, state overwritten."""
        layers = folded(layers_of(phi, self.layers))
        output = torch.empty_like(grad)
        for block in blocks(len(grad)):
            x = layers_step_in_place(layers, self.preprocess(grad[block]), hidden[:, :, block], cell[:, :, block])
            torch.addmm(phi["output.bias"].unsqueeze(1), phi["output.weight"], x, out=output[None, block])
        return output
