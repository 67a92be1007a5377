"""LSTM+GAC: the coordinatewise LSTM with global averaging cells, through which coordinates share information."""

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from l2obench.foundation.replica_rows import flatten_replicas, unflatten_replicas
from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.cell import blocks, cell_step, cell_step_in_place, fold_candidate_gate, layers_of
from l2obench.optimizers.learned.recurrent import RecurrentOptimizer


class GAC(RecurrentOptimizer, Optimizer):
    """The LSTM's formula, but the first `averaging` units of each layer put out their mean over all n coordinates.

        h_k ← o_k · tanh(c_k) for each coordinate k;  h_k[:averaging] ← (1/n) Σ_j h_j[:averaging]

    State: `hidden` and `cell`, `[layers, units, seeds, settings, coordinates]`, all parameters of a replica in a row.

    Source: Andrychowicz et al. 2016, "Information sharing between coordinates" (the second version's appendix D): some
    cells of each layer work as usual, but their outgoing activations are averaged at each step across all coordinates.
    Ours, as the paper does not say: how many cells (5 of 20); that the average takes the activation's place everywhere,
    in the next layer, the output and the cell's own recurrence (c stays each coordinate's own); that the coordinates
    are those of all parameter tensors of a replica. With `averaging=0` this is the LSTM.
    """

    name: ClassVar[str] = "gac"
    architecture: ClassVar[tuple[str, ...]] = (*RecurrentOptimizer.architecture, "averaging")

    averaging: int = Field(default=5, ge=0)
    """Units of each layer whose activations are averaged over the coordinates of a replica."""

    @model_validator(mode="after")
    def _check_averaging(self) -> Self:
        if self.averaging > self.hidden:
            raise ValueError(f"averaging={self.averaging} is more than the {self.hidden} units of a layer (hidden)")
        return self

    def flops_per_coordinate(self) -> float | None:
        alone = super().flops_per_coordinate()
        return None if alone is None else alone + self.layers * self.averaging  # the additions of the means

    def init(self, params: Tensors) -> State:
        self.require_trained()
        replicas = flatten_replicas(params)
        shape = (self.layers, self.hidden, *replicas.shape)
        return {"hidden": replicas.new_zeros(shape), "cell": replicas.new_zeros(shape)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        grad = flatten_replicas(grads)
        output, state = self._network_outputs(grad, state)
        return unflatten_replicas(output * (self.output_scale * per_replica(self.lr, grad)), grads), state

    def _network_outputs(self, grad: Tensor, state: State) -> tuple[Tensor, State]:
        """The network's output for gradients `[seeds, settings, coordinates]`, and the next state."""
        phi = self._phi(grad)
        top, state = self._controller(phi, self.preprocess(grad.flatten()), state)
        return (phi["output.weight"] @ top + phi["output.bias"])[0].view_as(grad), state

    def _controller(self, phi: Tensors, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The last layer's activations `[units, replicas · coordinates]` for inputs x, and the next hidden and cell.

        Layer by layer, since a mean needs all coordinates; within a layer, block by block.
        """
        shape = state["hidden"].shape
        hidden, cell = (state[part].view(self.layers, self.hidden, -1) for part in ("hidden", "cell"))
        layers = layers_of(phi, self.layers)
        if torch.is_grad_enabled():
            new_hidden, new_cell = [], []
            for k, (weight, bias) in enumerate(layers):
                x, c = cell_step(weight, bias, x, hidden[k], cell[k])
                x = torch.cat([self._average(x, shape[-1]), x[self.averaging :]])
                new_hidden.append(x)
                new_cell.append(c)
            hidden, cell = torch.stack(new_hidden), torch.stack(new_cell)
        else:
            for k, (weight, bias) in enumerate(fold_candidate_gate(layers)):
                for block in blocks(x.shape[1]):
                    cell_step_in_place(weight, bias, x[:, block], hidden[k, :, block], cell[k, :, block])
                x = hidden[k]
                x[: self.averaging] = self._average(x, shape[-1])
        return x, {"hidden": hidden.view(shape), "cell": cell.view(shape)}

    def _average(self, x: Tensor, coordinates: int) -> Tensor:
        """What the averaging units of `[units, replicas · coordinates]` put out: every coordinate the same."""
        own = x[: self.averaging].view(self.averaging, x.shape[1] // coordinates, coordinates)
        return own.mean(-1, keepdim=True).expand_as(own).flatten(1)
