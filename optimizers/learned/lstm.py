"""The paper's learned optimizer: a small LSTM applied to every coordinate, with its own state for each."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.cell import (
    blocks,
    fold_candidate_gate,
    layers_of,
    layers_step,
    layers_step_in_place,
    linear,
)
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
    stacks_meta_parameters: ClassVar[bool] = True

    def init_tensor(self, param: Tensor) -> State:
        self.require_trained()
        if self.meta_parameters["output.bias"].ndim == 1:
            shape = (self.layers, self.hidden, *param.shape)
            return {"hidden": param.new_zeros(shape), "cell": param.new_zeros(shape)}
        # As `_rows_of_networks` takes it, in this order in memory: settings come before units.
        seeds, settings, *rest = param.shape
        shape = (self.layers, settings, self.hidden, seeds, *rest)
        return {part: param.new_zeros(shape).movedim(1, 3) for part in ("hidden", "cell")}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        phi = self._phi(grad)
        is_stack = phi["output.bias"].ndim > 1
        rows, hidden, cell = (_rows_of_networks if is_stack else _rows)(grad, state)
        if self.can_fuse(grad, param, state) and self.hidden <= MOST_UNITS:
            names, flat = [*(f"lstm{k}" for k in range(self.layers)), "output"], rows.flatten()
            grads_of = lambda part: flat[None, part]  # noqa: E731
            log_inputs = None if self.preprocessing == "none" else (self.inputs, self.p)
            output, hidden, cell = fused_cells(self.meta_parameters, names, grads_of, hidden, cell, log_inputs)
        elif torch.is_grad_enabled() or torch.compiler.is_compiling():
            output, hidden, cell = self._step(phi, rows, hidden, cell)
        else:
            output = self._step_in_place(phi, rows, hidden, cell)
        if is_stack:
            # Settings go back to their place. Memory stays in the order in which the next step takes it.
            shape = grad.movedim(1, 0).shape
            update = output.view(shape).movedim(0, 1)
            hidden, cell = (value.view(*value.shape[:3], *shape[1:]).movedim(1, 3) for value in (hidden, cell))
        else:
            update, shape = output.view_as(grad), state["hidden"].shape
            hidden, cell = hidden.view(shape), cell.view(shape)
        return update * (self.output_scale * per_replica(self.lr, grad)), {"hidden": hidden, "cell": cell}

    def unroll(self, state: State, steps: int) -> "UnrolledLSTM | None":
        own = (type(self).update_tensor, type(self)._step) == (LSTM.update_tensor, LSTM._step)
        return UnrolledLSTM(self, state, steps) if own else None

    def _step(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step as a graph: output `[coordinates]`, next hidden and cell `[layers, units, coordinates]`."""
        x, hidden, cell = layers_step(layers_of(phi, self.layers), self._inputs(grad), hidden, cell)
        return (phi["output.weight"] @ x + phi["output.bias"].unsqueeze(-1)).squeeze(-2), hidden, cell

    def _step_in_place(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """The same step without a graph: blocks of coordinates that stay in the cache, state overwritten."""
        layers = fold_candidate_gate(layers_of(phi, self.layers))
        output = torch.empty_like(grad)
        for block in blocks(grad.shape[-1], grad.shape[:-1].numel()):
            x = layers_step_in_place(layers, self._inputs(grad[..., block]), hidden[..., block], cell[..., block])
            linear(phi["output.weight"], phi["output.bias"], x, out=output.unsqueeze(-2)[..., block])
        return output

    def _inputs(self, grad: Tensor) -> Tensor:
        """Inputs `[inputs, coordinates]`, or of a stack `[networks, inputs, coordinates]`."""
        return self.preprocess(grad).movedim(0, -2)


def _rows(grad: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient `[coordinates]`, hidden and cell `[layers, units, coordinates]`, of all replicas."""
    layers, units = state["hidden"].shape[:2]
    return grad.reshape(-1), state["hidden"].view(layers, units, -1), state["cell"].view(layers, units, -1)


def _rows_of_networks(grad: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """The same where each setting has a network: settings come before coordinates, and before units.

    A state that began with one network for all is copied once.
    """
    hidden, cell = (state[part].movedim(3, 1).flatten(3).contiguous() for part in ("hidden", "cell"))
    return grad.movedim(1, 0).flatten(1), hidden, cell


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
