"""The paper's learned optimizer: a small LSTM applied to every coordinate, with its own state for each."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.cell import blocks, fold_candidate_gate, layers_of, layers_step, layers_step_in_place
from l2obench.optimizers.learned.cell_bptt import Unroll
from l2obench.optimizers.learned.fused.layers import MOST_UNITS, fused_cells
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.recurrent import RecurrentOptimizer
from l2obench.optimizers.learned.unrolled import Unrolled


class LSTM(FusedRule, RecurrentOptimizer, CoordinatewiseOptimizer):
    """[u, s'] = output_scale · m(preprocess(g), s; φ), where m stacks LSTM layers under one linear output.

    Gates are ordered input, forget, output, candidate, with one bias each.

    State of a tensor: `hidden` and `cell`, `[layers, units, *param.shape]`. Units come first, so that products read
    coordinates along contiguous rows.

    Source: Andrychowicz et al. 2016, section 2.1 (two layers of 20 units, shared over coordinates) and appendix A
    (preprocessing).
    """

    name: ClassVar[str] = "lstm"
    has_fused_step: ClassVar[bool] = True
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
        if self.can_fuse(grad, param, state) and self.hidden <= MOST_UNITS:
            names = [*(f"lstm{k}" for k in range(self.layers)), "output"]
            inputs_of = lambda part: self.preprocess(flat[part])  # noqa: E731
            output, hidden, cell = fused_cells(self.meta_parameters, names, inputs_of, hidden, cell)
        elif torch.is_grad_enabled() or torch.compiler.is_compiling():
            output, hidden, cell = self._step(phi, flat, hidden, cell)
        else:
            output = self._step_in_place(phi, flat, hidden, cell)
        scale = self.output_scale * per_replica(self.lr, grad)
        shape = state["hidden"].shape
        return output.view_as(grad) * scale, {"hidden": hidden.view(shape), "cell": cell.view(shape)}

    def unroll(self, state: State, steps: int) -> "UnrolledLSTM | None":
        own = (type(self).update_tensor, type(self)._step) == (LSTM.update_tensor, LSTM._step)
        return UnrolledLSTM(self, state, steps) if own else None

    def _step(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step as a graph: output `[coordinates]`, next hidden and cell `[layers, units, coordinates]`."""
        x, hidden, cell = layers_step(layers_of(phi, self.layers), self.preprocess(grad), hidden, cell)
        return (phi["output.weight"] @ x + phi["output.bias"])[0], hidden, cell

    def _step_in_place(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """The same step without a graph: blocks of coordinates that stay in the cache, state overwritten."""
        layers = fold_candidate_gate(layers_of(phi, self.layers))
        output = torch.empty_like(grad)
        for block in blocks(len(grad)):
            x = layers_step_in_place(layers, self.preprocess(grad[block]), hidden[:, :, block], cell[:, :, block])
            torch.addmm(phi["output.bias"].unsqueeze(1), phi["output.weight"], x, out=output[None, block])
        return output


class UnrolledLSTM(Unrolled):
    """Steps of an LSTM on one tensor, with its backward pass by hand."""

    def __init__(self, rule: LSTM, state: State, steps: int) -> None:
        self._rule = rule
        self._shape = state["hidden"].shape
        phi = rule._phi(state["hidden"])
        output = phi["output.weight"], phi["output.bias"]
        memory = state["hidden"].flatten(2), state["cell"].flatten(2)
        self._network = Unroll(layers_of(phi, rule.layers), output, *memory, steps)

    def update(self, grad: Tensor) -> Tensor:
        output = self._network.step(self._rule.preprocess(grad.flatten()))
        return output.view_as(grad) * self._scale(grad)

    def state(self) -> State:
        hidden, cell = self._network.memory()
        return {"hidden": hidden.view(self._shape), "cell": cell.view(self._shape)}

    def gradient(self, targets: Sequence[Tensor]) -> Tensors:
        rows = torch.stack([(target * self._scale(target)).flatten() for target in targets])
        layers, (weight, bias) = self._network.gradient(rows)
        found = {"output.weight": weight, "output.bias": bias}
        for k, (weight, bias) in enumerate(layers):
            found |= {f"lstm{k}.weight": weight, f"lstm{k}.bias": bias}
        return {name: found[name].to(value.dtype) for name, value in self._rule.meta_parameters.items()}

    def _scale(self, like: Tensor) -> float | Tensor:
        return self._rule.output_scale * per_replica(self._rule.lr, like)
