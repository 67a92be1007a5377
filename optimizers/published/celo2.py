"""Celo2's published weights, a safetensors file with the names of Belilovsky-Lab/pylo, under our names."""

import torch

from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.celo2 import HIDDEN, Celo2
from l2obench.optimizers.published.velo import OF_FEATURES, OUTPUTS

SHAPES: dict[str, tuple[int, ...]] = {
    **{f"first_layer_weights.{k}": (HIDDEN, count) for k, count in enumerate(OF_FEATURES)},
    "first_layer_bias": (HIDDEN,),
    "hidden.weight": (HIDDEN, HIDDEN),
    "hidden.bias": (HIDDEN,),
    "output.weight": (OUTPUTS, HIDDEN),
    "output.bias": (OUTPUTS,),
}


def celo2_from_torch(theirs: Tensors) -> Celo2:
    """Celo2 with published weights.

    Args:
        theirs: the file's tensors by their names.

    Raises:
        TensorFileError: they are not Celo2's; the message says what differs.
    """
    require_tensors(theirs, SHAPES)
    first = torch.cat([theirs[f"first_layer_weights.{k}"] for k in range(len(OF_FEATURES))], dim=1)
    # Of three outputs the rule uses the first: the others would set a magnitude, which the normalisation removes.
    return Celo2().with_meta_parameters(
        {
            "layer0.weight": first,
            "layer0.bias": theirs["first_layer_bias"],
            "layer1.weight": theirs["hidden.weight"],
            "layer1.bias": theirs["hidden.bias"],
            "layer2.weight": theirs["output.weight"][:1],
            "layer2.bias": theirs["output.bias"][:1],
        }
    )
