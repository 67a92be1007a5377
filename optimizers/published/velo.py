"""VeLO's published weights, as google/learned_optimization writes them, under our names and in our order of axes."""

import torch
from torch import Tensor

from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.coordinate_features import FEATURES
from l2obench.optimizers.learned.velo import TENSOR_FEATURES, WIDTHS, VeLO

STACK = "ff_mod_stack/~"
# Of the perceptron in the file; the last one is not used.
OUTPUTS = 3
OF_FEATURES = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)
"""How many features each tensor of the perceptron's first weights is for."""


def velo_from_flax(theirs: Tensors) -> VeLO:
    """VeLO with published weights.

    Args:
        theirs: arrays by their path, as `parse_flax_file` gives them.

    Raises:
        TensorFileError: they are not VeLO's; the message says what differs.
    """
    name = "rnn_params/rnn_to_controls/w"
    try:
        units, bank = theirs[name].shape
        rule = VeLO(hidden=units, bank=bank)
    except (KeyError, ValueError) as error:
        raise TensorFileError(f"{name} must be a matrix of 1 to 1024 units × 1 to 1024 sets of weights") from error
    shapes = schedule_shapes(TENSOR_FEATURES, units)
    shapes |= {"rnn_params/rnn_to_controls/w": (units, bank), "rnn_params/rnn_to_controls/b": (bank,)}
    require_tensors(theirs, shapes | perceptron_shapes(bank))
    tensors = schedule(theirs)
    tensors["controls.weight"] = theirs["rnn_params/rnn_to_controls/w"].T
    tensors["controls.bias"] = theirs["rnn_params/rnn_to_controls/b"]
    return rule.with_meta_parameters(tensors | perceptron(theirs))


def schedule_shapes(inputs: int, units: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the LSTM's weights as haiku has them: the last dimension is that of outputs.

    Args:
        inputs: features that the LSTM is given.
        units: of the LSTM.
    """
    layers = {
        # Their code computes this layer and does not use what it gives.
        "linear": (inputs, units),
        "linear_1": (inputs, units),
        "linear_2": (inputs, units),
        "rnn/linear": (2 * units, 4 * units),
        "step_size": (units, 1),
    }
    shapes: dict[str, tuple[int, ...]] = {f"lstm_init_state/{part}": (1, units) for part in ("hidden", "cell")}
    for name, shape in layers.items():
        shapes |= {f"rnn_params/{name}/w": shape, f"rnn_params/{name}/b": shape[1:]}
    return shapes


def schedule(theirs: Tensors) -> Tensors:
    """The LSTM's weights under our names, in our order of gates.

    Args:
        theirs: arrays by their path, with the shapes of `schedule_shapes`.
    """

    def gates(values: Tensor) -> Tensor:
        """Input, candidate, forget, output along the first axis become input, forget, output, candidate."""
        i, candidate, f, o = values.chunk(4)
        return torch.cat([i, f, o, candidate])

    tensors = {f"initial.{part}": theirs[f"lstm_init_state/{part}"][0] for part in ("hidden", "cell")}
    for ours, name in {"shared": "linear_1", "input": "linear_2", "rate": "step_size"}.items():
        tensors[f"{ours}.weight"] = theirs[f"rnn_params/{name}/w"].T
        tensors[f"{ours}.bias"] = theirs[f"rnn_params/{name}/b"]
    tensors["lstm.weight"] = gates(theirs["rnn_params/rnn/linear/w"].T)
    tensors["lstm.bias"] = gates(theirs["rnn_params/rnn/linear/b"])
    # Haiku adds 1 to the forget gate in its cell; ours has it in the bias.
    units = len(tensors["initial.hidden"])
    tensors["lstm.bias"][units : 2 * units] += 1
    return tensors


def perceptron_shapes(bank: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a bank of perceptrons as haiku has them.

    Args:
        bank: how many perceptrons there are.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for k, count in enumerate(OF_FEATURES):
        shapes[f"{STACK}/w0__{k}"] = (bank, count, WIDTHS[1])
    for k, (inputs, outputs) in enumerate([WIDTHS[:2], WIDTHS[1:3], (WIDTHS[2], OUTPUTS)]):
        shapes |= {f"{STACK}/w{k}": (bank, inputs, outputs)} if k else {}
        shapes[f"{STACK}/b{k}"] = (bank, outputs)
    return shapes


def perceptron(theirs: Tensors) -> Tensors:
    """A bank of perceptrons under our names, without the output that is not used.

    Args:
        theirs: arrays by their path, with the shapes of `perceptron_shapes`.

    Returns:
        Weights `[bank, outputs, inputs]` and biases `[bank, outputs]`.
    """
    first = torch.cat([theirs[f"{STACK}/w0__{k}"] for k in range(len(OF_FEATURES))], dim=1)
    assert first.shape[1] == FEATURES
    tensors: Tensors = {}
    for k, weight in enumerate([first, theirs[f"{STACK}/w1"], theirs[f"{STACK}/w2"]]):
        tensors[f"layer{k}.weight"] = weight.transpose(1, 2)[:, : WIDTHS[k + 1]]
        tensors[f"layer{k}.bias"] = theirs[f"{STACK}/b{k}"][:, : WIDTHS[k + 1]]
    return tensors
