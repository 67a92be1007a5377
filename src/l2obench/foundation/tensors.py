"""The type that parameters, gradients, updates, data and meta-parameters share: tensors by name."""

from torch import Tensor

Tensors = dict[str, Tensor]
"""Tensors by name, for example a model's parameters: `{"w0": [units, inputs], "b0": [units]}`."""
