"""Open-L2O's trained LSTMs and RNNprops, as its networks of Sonnet save them, under our names and order of gates."""

import torch
from torch import Tensor

from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.optimizers.learned.rnnprop import RNNprop

UNITS, LAYERS = 20, 2
# The learned optimizer of RNNprop takes steps of at most this size in Open-L2O; the original code's value is 0.1.
RNNPROP_STEP_SIZE = 0.01


def open_l2o_from_pickle(theirs: Tensors) -> LSTM | RNNprop:
    """The LSTM or RNNprop with published weights; RNNprop where the file has a projection of inputs.

    Args:
        theirs: arrays by their path, as `parse_pickled_arrays` gives them.

    Raises:
        TensorFileError: they are not Open-L2O's; the message says what differs.
    """
    projected = "input_projection/w" in theirs
    inputs = UNITS if projected else 2
    shapes: dict[str, tuple[int, ...]] = {"linear/w": (UNITS, 1), "linear/b": (1,)}
    for k in range(LAYERS):
        width = (inputs if k == 0 else UNITS) + UNITS
        shapes |= {f"lstm_{k + 1}/w_gates": (width, 4 * UNITS), f"lstm_{k + 1}/b_gates": (4 * UNITS,)}
    if projected:
        shapes |= {"input_projection/w": (2, UNITS), "input_projection/b": (UNITS,)}
    require_tensors(theirs, shapes)
    tensors = {"output.weight": theirs["linear/w"].T, "output.bias": theirs["linear/b"]}
    for k in range(LAYERS):
        tensors[f"lstm{k}.weight"] = _our_gates(theirs[f"lstm_{k + 1}/w_gates"].T)
        tensors[f"lstm{k}.bias"] = _our_gates(theirs[f"lstm_{k + 1}/b_gates"])
        # Sonnet's cell adds 1 to the forget gate; ours has it in the bias.
        tensors[f"lstm{k}.bias"][UNITS : 2 * UNITS] += 1
    if not projected:
        return LSTM(hidden=UNITS, layers=LAYERS, p=5.0, output_scale=0.01).with_meta_parameters(tensors)
    # Theirs reads m̂ / s before g / s, and adds the network's output; ours reads g / s first, and subtracts.
    tensors |= {"input.weight": theirs["input_projection/w"].T.flip(1), "input.bias": theirs["input_projection/b"]}
    tensors |= {name: -tensors[name] for name in ("output.weight", "output.bias")}
    rule = RNNprop(hidden=UNITS, layers=LAYERS, beta1=0.95, beta2=0.95, epsilon=1e-8, step_size=RNNPROP_STEP_SIZE)
    return rule.with_meta_parameters(tensors)


def _our_gates(values: Tensor) -> Tensor:
    """Input, candidate, forget, output along the first axis become input, forget, output, candidate."""
    i, candidate, f, o = values.chunk(4)
    return torch.cat([i, f, o, candidate])
