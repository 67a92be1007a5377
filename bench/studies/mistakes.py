"""Faults that happen to learned optimizers, injected on purpose to measure the gate's error rates."""

import torch
from torch import Tensor

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.lstm import LSTM


def perturb(meta_parameters: Tensors, std: float, generator: torch.Generator) -> Tensors:
    """Meta-parameters φ · (1 + std · ε), with ε ~ N(0, 1) drawn for every value; shapes stay the same.

    Args:
        meta_parameters: φ by name.
        std: of the relative noise.
        generator: draws it.
    """
    # Drawn in the order of the names: the order of the tensors in a safetensors file changes from process to process.
    return {
        name: tensor * (1 + std * torch.randn(tensor.shape, generator=generator))
        for name, tensor in sorted(meta_parameters.items())
    }


def swap_gates(meta_parameters: Tensors) -> Tensors:
    """Swap the input and forget gates in every layer of an `LSTM`'s meta-parameters.

    A port from a library with another order of the gates has this fault.

    Args:
        meta_parameters: by name.
    """
    return {
        name: _swap_input_and_forget(tensor) if name.startswith("lstm") else tensor
        for name, tensor in meta_parameters.items()
    }


class WithoutPreprocessing(LSTM):
    """The LSTM without its preprocessing: every input of the network is the gradient itself."""

    def preprocess(self, grad: Tensor) -> Tensor:
        """Gradients `[coordinates]`, repeated for each input that the network was trained with."""
        return grad.expand(len(super().preprocess(grad)), -1)


def _swap_input_and_forget(parameter: Tensor) -> Tensor:
    input_gate, forget_gate, *others = parameter.chunk(4)
    return torch.cat([forget_gate, input_gate, *others])
