"""Backpropagation through time of layers of LSTM cells, by hand: what their meta-gradient needs and nothing else.

Tensors are feature-major as in `l2obench.optimizers.learned.cell`. All nonlinearities are sigmoids, of weights from
`fold_candidate_gate`: with q = σ(-2 z) of the candidate gate and r = σ(-2 c), tanh(z) = 1 - 2 q and tanh(c) = 1 - 2 r.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from l2obench.optimizers.learned.cell import Layer, blocks, fold_candidate_gate

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class LayerTape:
    """What a layer writes down on its way through the steps, for one block of coordinates: a tensor for each step.

    Args:
        weight: `[4 units, inputs + units + 1]`, the bias last.
        hidden: before the first step, `[units, n]`.
        cell: likewise.
        steps: how many.
    """

    def __init__(self, weight: Tensor, hidden: Tensor, cell: Tensor, steps: int) -> None:
        units, coordinates = hidden.shape
        inputs = hidden.new_empty(steps + 1, weight.shape[1], coordinates)
        gates = hidden.new_empty(steps, 4 * units, coordinates)
        cells = hidden.new_empty(steps + 1, units, coordinates)
        inputs[:, -1] = 1
        inputs[0, -1 - units : -1] = hidden
        cells[0] = cell
        self.inputs = inputs.unbind()
        """x, hidden state and a row of ones for the bias."""
        self.x = inputs[:, : -1 - units].unbind()
        self.hidden = inputs[:, -1 - units : -1].unbind()
        """Before the first step and after each, `[units, n]`."""
        self.gates = gates.unbind()
        """All four, `[4 units, n]`; on the way back, derivatives take their place."""
        self.parts = [each.unbind() for each in gates.view(steps, 4, units, coordinates).unbind()]
        """Input, forget, output and q, `[units, n]` each."""
        self.cell = cells.unbind()
        """Before the first step and after each."""
        self.root = torch.empty_like(cells[1:]).unbind()
        """r."""


class Unroll:
    """Steps of the network, written down block by block of coordinates, and then their derivatives.

    Args:
        layers: weights `[4 units, inputs + units]` and biases `[4 units]`.
        output: weight `[1, units]` and bias `[1]` of the linear output.
        hidden: `[layers, units, coordinates]`, before the first step; only read.
        cell: likewise.
        steps: how many there will be.
    """

    def __init__(self, layers: Sequence[Layer], output: Layer, hidden: Tensor, cell: Tensor, steps: int) -> None:
        self._forward = [torch.cat([weight, bias.unsqueeze(1)], 1) for weight, bias in fold_candidate_gate(layers)]
        self._backward = [_scale_candidate_rows(weight).mT.contiguous() for weight, _ in layers]
        self._output = output
        self._blocks = [
            (block, [LayerTape(weight, h, c, steps) for weight, h, c in zip(self._forward, *memory, strict=True)])
            for block, memory in ((each, (hidden[..., each], cell[..., each])) for each in blocks(hidden.shape[2]))
        ]
        self._taken = 0

    def step(self, inputs: Tensor) -> Tensor:
        """The next step's output `[coordinates]`.

        Args:
            inputs: `[inputs, coordinates]`, from the preprocessed gradient.
        """
        weight, bias = self._output
        output = inputs.new_empty(1, inputs.shape[1])
        for block, tapes in self._blocks:
            top = _forward(self._forward, tapes, inputs[:, block], self._taken)
            torch.addmm(bias.unsqueeze(1), weight, top, out=output[:, block])
        self._taken += 1
        return output[0]

    def memory(self) -> tuple[Tensor, Tensor]:
        """Hidden state and cell after the steps taken, `[layers, units, coordinates]`."""
        layers = range(len(self._forward))
        hidden = [torch.cat([tapes[k].hidden[self._taken] for _, tapes in self._blocks], 1) for k in layers]
        cell = [torch.cat([tapes[k].cell[self._taken] for _, tapes in self._blocks], 1) for k in layers]
        return torch.stack(hidden), torch.stack(cell)

    def gradient(self, targets: Tensor) -> tuple[list[Layer], Layer]:
        """Derivatives of Σ_s ⟨output at s, targets_s⟩: of the layers, of the output. Asked once, after all steps.

        Args:
            targets: `[steps, coordinates]`.
        """
        found = [weight.new_zeros(weight.shape[::-1]) for weight in [*self._forward, self._output[0]]]
        for block, tapes in self._blocks:
            _backward(self._backward, tapes, self._output[0], targets[:, block], found)
        *of_layers, of_output = [gradient.mT for gradient in found]
        scaled = [_scale_candidate_rows(gradient) for gradient in of_layers]
        return [(gradient[:, :-1], gradient[:, -1]) for gradient in scaled], (of_output, targets.sum().view(1))


def _forward(weights: Sequence[Tensor], tapes: list[LayerTape], x: Tensor, step: int) -> Tensor:
    """A step forward: the last layer's activations for the first one's inputs, and what each layer writes down."""
    for weight, tape in zip(weights, tapes, strict=True):
        tape.x[step].copy_(x)
        torch.mm(weight, tape.inputs[step], out=tape.gates[step]).sigmoid_()
        i, f, o, q = tape.parts[step]
        c = torch.addcmul(i, i, q, value=-2, out=tape.cell[step + 1]).addcmul_(f, tape.cell[step])
        r = torch.mul(c, -2, out=tape.root[step]).sigmoid_()
        x = torch.addcmul(o, o, r, value=-2, out=tape.hidden[step + 1])
    return x


def _backward(
    weights: Sequence[Tensor], tapes: list[LayerTape], output: Tensor, targets: Tensor, found: list[Tensor]
) -> None:
    """All steps backward: derivatives with respect to each layer's weight, bias last, and the output's go to `found`.

    They are transposed there: products of that shape are a quarter to two fifths faster (MKL).
    """
    of_gates = torch.empty_like(tapes[0].gates[0])
    di, df, do, dq = of_gates.view(4, *tapes[0].root[0].shape).unbind()
    of_inputs = [targets.new_zeros(len(weight), targets.shape[1]) for weight in weights]
    of_x = [each[: -len(dq)] for each in of_inputs]
    of_hidden = [each[-len(dq) :] for each in of_inputs]
    of_cells = [torch.zeros_like(tape.cell[0]) for tape in tapes]
    for step in reversed(range(len(targets))):
        found[-1].addmm_(tapes[-1].hidden[step + 1], targets[step].unsqueeze(1))
        of_hidden[-1].addr_(output[0], targets[step])
        for k in reversed(range(len(tapes))):
            tape, dh, dc = tapes[k], of_hidden[k], of_cells[k]
            gates, r = tape.gates[step], tape.root[step]
            i, f, o, q = tape.parts[step]
            dc.addcmul_(o, sigmoid_backward(dh, r, grad_input=do), value=4)
            torch.addcmul(dh, dh, r, value=-2, out=do)
            torch.addcmul(dc, dc, q, value=-2, out=di)
            torch.mul(dc, tape.cell[step], out=df)
            # The factor that is missing, 4 with those folded into the weights, is in `_scale_candidate_rows`.
            torch.mul(dc, i, out=dq)
            dc.mul_(f)
            sigmoid_backward(of_gates, gates, grad_input=gates)
            found[k].addmm_(tape.inputs[step], gates.mT)
            torch.mm(weights[k], gates, out=of_inputs[k])
            if k > 0:
                of_hidden[k - 1].add_(of_x[k])


def _scale_candidate_rows(parameter: Tensor) -> Tensor:
    """Rows of the candidate gate times 4: tanh(z) = 1 - 2 σ(-2 z) has the slope 4 σ(-2 z) σ(2 z)."""
    units = len(parameter) // 4
    return torch.cat([parameter[: 3 * units], 4 * parameter[3 * units :]])
