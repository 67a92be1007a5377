"""VeLO's published weights, a flax msgpack file, become a checkpoint of ours.

The file is what google/learned_optimization writes (`checkpoints.py`): nested dicts of arrays by haiku's names. An
array is msgpack's extension type 1, inside which flax packs shape, type and bytes. Files come from outside: size,
names, shapes, types and values are checked before any is used.
"""

import hashlib
import importlib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.checkpoint import MAX_BYTES, CheckpointError, encode_checkpoint
from l2obench.optimizers.learned.velo import FEATURES, TENSOR_FEATURES, WIDTHS, VeLO

ARRAY = 1  # flax's code for it among msgpack's extension types
MOST = 1000  # entries of a dict, of which theirs have fewer than a hundred
THEIR_OUTPUTS = 3  # of the perceptron, of which the last is not used
OF_FEATURES = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)
"""How many features each tensor of the perceptron's first weights is for."""


def convert(path: Path) -> bytes:
    """The bytes of a checkpoint file for `velo[checkpoint=FILE]`.

    Args:
        path: `theta.state`, or the file `params` of a published optimizer, which has it under that name.

    Raises:
        CheckpointError: the file cannot be read, or holds something else; or msgpack is not installed.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CheckpointError(f"{path} has {size:,} bytes; VeLO's weights have at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    theirs = _flat(str(path), _unpacked(str(path), content))
    rule = _rule(str(path), theirs)
    _check(str(path), theirs, _their_shapes(rule.hidden, rule.bank))
    recipe = {"converted_from": path.name, "converted_sha256": hashlib.sha256(content).hexdigest()}
    return encode_checkpoint(rule.name, rule.describe_architecture(), recipe, _ours(theirs, rule.hidden))


def _unpacked(source: str, content: bytes) -> Any:
    if importlib.util.find_spec("msgpack") is None:
        raise CheckpointError("VeLO's published weights are read by msgpack: pip install 'l2obench[velo]'")
    msgpack = importlib.import_module("msgpack")

    def array(code: int, data: bytes) -> Any:
        """float32 arrays; None for whatever else flax may have packed, which nobody will ask for."""
        if code != ARRAY:
            return None
        shape, kind, values = msgpack.unpackb(data, raw=True)
        if kind != b"float32" or len(values) != 4 * math.prod(shape):
            return None
        return np.frombuffer(values, dtype="<f4").reshape(shape)

    try:
        return msgpack.unpackb(content, ext_hook=array, max_map_len=MOST, max_array_len=MOST)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CheckpointError(f"{source} is no msgpack file of flax, or is damaged") from error


def _flat(source: str, tree: Any) -> dict[str, np.ndarray]:
    """The arrays of θ by their path."""
    theta = tree.get("params", tree) if isinstance(tree, Mapping) else None
    if not isinstance(theta, Mapping) or "ff_mod_stack" not in theta:
        raise CheckpointError(f"{source} holds no weights of VeLO: expected lstm_init_state, rnn_params, ff_mod_stack")
    flat: dict[str, np.ndarray] = {}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{path}/{key}" if path else str(key), value)
        elif isinstance(node, np.ndarray):
            flat[path] = node
        else:
            raise CheckpointError(f"{source} does not hold VeLO's weights: {path} is no array of float32")

    walk("", theta)
    return flat


def _rule(source: str, theirs: Mapping[str, np.ndarray]) -> VeLO:
    """The rule that the weights are for: its sizes are those of the matrix of controls."""
    name = "rnn_params/rnn_to_controls/w"
    try:
        units, bank = theirs[name].shape
        return VeLO(hidden=units, bank=bank)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{source} does not hold VeLO's weights: {name} is no matrix of a usable size") from error


def _their_shapes(units: int, bank: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights as haiku has them: the last dimension is that of outputs."""
    layers = {
        "linear": (TENSOR_FEATURES, units),  # which their code computes and does not use
        "linear_1": (TENSOR_FEATURES, units),
        "linear_2": (TENSOR_FEATURES, units),
        "rnn/linear": (2 * units, 4 * units),
        "rnn_to_controls": (units, bank),
        "step_size": (units, 1),
    }
    shapes: dict[str, tuple[int, ...]] = {f"lstm_init_state/{part}": (1, units) for part in ("hidden", "cell")}
    for name, shape in layers.items():
        shapes |= {f"rnn_params/{name}/w": shape, f"rnn_params/{name}/b": shape[1:]}
    stack = "ff_mod_stack/~"
    for k, count in enumerate(OF_FEATURES):
        shapes[f"{stack}/w0__{k}"] = (bank, count, WIDTHS[1])
    for k, (inputs, outputs) in enumerate([WIDTHS[:2], WIDTHS[1:3], (WIDTHS[2], THEIR_OUTPUTS)]):
        shapes |= {f"{stack}/w{k}": (bank, inputs, outputs)} if k else {}
        shapes[f"{stack}/b{k}"] = (bank, outputs)
    return shapes


def _check(source: str, theirs: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if different := sorted(theirs.keys() ^ shapes.keys()):
        raise CheckpointError(f"{source} does not hold VeLO's weights: {different} missing or unknown")
    for name, shape in shapes.items():
        if theirs[name].shape != shape:
            raise CheckpointError(
                f"{source} does not hold VeLO's weights: {name} is {list(theirs[name].shape)}, expected {list(shape)}"
            )
        if not np.isfinite(theirs[name]).all():
            raise CheckpointError(f"{source} is damaged: {name} holds values that are not finite")


def _ours(theirs: Mapping[str, np.ndarray], units: int) -> Tensors:
    """The weights under our names, in our order of axes and gates."""
    theta = {name: torch.from_numpy(value.copy()) for name, value in theirs.items()}

    def gates(values: Tensor) -> Tensor:
        """Input, candidate, forget, output along the first axis become input, forget, output, candidate."""
        i, candidate, f, o = values.chunk(4)
        return torch.cat([i, f, o, candidate])

    tensors = {f"initial.{part}": theta[f"lstm_init_state/{part}"][0] for part in ("hidden", "cell")}
    names = {"shared": "linear_1", "input": "linear_2", "controls": "rnn_to_controls", "rate": "step_size"}
    for ours, name in names.items():
        tensors[f"{ours}.weight"] = theta[f"rnn_params/{name}/w"].T
        tensors[f"{ours}.bias"] = theta[f"rnn_params/{name}/b"]
    tensors["lstm.weight"] = gates(theta["rnn_params/rnn/linear/w"].T)
    tensors["lstm.bias"] = gates(theta["rnn_params/rnn/linear/b"])
    tensors["lstm.bias"][units : 2 * units] += 1  # which haiku adds in the cell
    stack = "ff_mod_stack/~"
    first = torch.cat([theta[f"{stack}/w0__{k}"] for k in range(len(OF_FEATURES))], dim=1)
    assert first.shape[1] == FEATURES
    weights = [first, theta[f"{stack}/w1"], theta[f"{stack}/w2"]]
    for k, weight in enumerate(weights):
        tensors[f"layer{k}.weight"] = weight.transpose(1, 2)[:, : WIDTHS[k + 1]]
        tensors[f"layer{k}.bias"] = theta[f"{stack}/b{k}"][:, : WIDTHS[k + 1]]
    return tensors
