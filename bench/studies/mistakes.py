"""Mistakes that happen to learned optimizers, made on purpose: what the gate's error rates are measured with."""

import torch
from torch import Tensor

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.lstm import LSTM


def perturbed(meta_parameters: Tensors, std: float, generator: torch.Generator) -> Tensors:
    """Meta-parameters φ · (1 + std · ε), with ε ~ N(0, 1) drawn for every value; shapes as they were.

    Drawn in the order of the names: that in which a safetensors file gives its tensors changes from process to process.
    """
    return {
        name: tensor * (1 + std * torch.randn(tensor.shape, generator=generator))
        for name, tensor in sorted(meta_parameters.items())
    }


def with_swapped_gates(meta_parameters: Tensors) -> Tensors:
    """Meta-parameters of an `LSTM` whose input and forget gates have changed places in every layer.

    What a port from another library's order of the gates gives, where nobody looked.
    """
    return {
        name: _input_and_forget_swapped(tensor) if name.startswith("lstm") else tensor
        for name, tensor in meta_parameters.items()
    }


class WithoutPreprocessing(LSTM):
    """The LSTM with its preprocessing left out: every input of the network is the gradient itself."""

    def preprocess(self, grad: Tensor) -> Tensor:
        """Gradients `[coordinates]`, repeated for each input that the network was trained with."""
        return grad.expand(len(super().preprocess(grad)), -1)


def _input_and_forget_swapped(parameter: Tensor) -> Tensor:
    input_gate, forget_gate, *others = parameter.chunk(4)
    return torch.cat([forget_gate, input_gate, *others])
