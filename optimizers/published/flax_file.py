"""Files of weights that flax writes by msgpack: nested dicts of arrays, as flat names and float32 tensors.

An array is msgpack's extension type 1, inside which flax packs shape, type and bytes. Files come from outside: size,
nesting, types and values are checked before any is used.
"""

import importlib
import importlib.util
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors

# Flax's code for an array among msgpack's extension types.
ARRAY = 1
# Entries of a dict or a list: published optimizers have fewer than a hundred, a hostile file could claim billions.
MOST = 1000


def parse_flax_file(content: bytes) -> Tensors:
    """The arrays of θ by their path, such as `rnn_params/linear/w`.

    Args:
        content: the whole file: θ itself, as `theta.state` has it, or an object with θ under `params`.

    Raises:
        TensorFileError: the content is no such file, an array is not finite float32, or msgpack is not installed.
    """
    tree = _unpack(content)
    theta = tree.get("params", tree) if isinstance(tree, Mapping) else None
    if not isinstance(theta, Mapping):
        raise TensorFileError("it must be a msgpack file of named arrays, as flax writes it")
    flat: Tensors = {}
    _flatten("", theta, flat)
    return flat


def _unpack(content: bytes) -> Any:
    if importlib.util.find_spec("msgpack") is None:
        raise TensorFileError("it needs the package msgpack. Try: pip install msgpack")
    msgpack = importlib.import_module("msgpack")

    def array(code: int, data: bytes) -> Any:
        """float32 arrays; None for whatever else flax may have packed, which `_flatten` refuses."""
        if code != ARRAY:
            return None
        shape, kind, values = msgpack.unpackb(data, raw=True)
        if kind != b"float32" or len(values) != 4 * math.prod(shape):
            return None
        return np.frombuffer(values, dtype="<f4").reshape(shape)

    try:
        return msgpack.unpackb(content, ext_hook=array, max_map_len=MOST, max_array_len=MOST)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise TensorFileError("it is no msgpack file of flax, or is damaged") from error


def _flatten(name: str, node: Any, flat: Tensors) -> None:
    if isinstance(node, Mapping):
        for key, value in node.items():
            _flatten(f"{name}/{key}" if name else str(key), value, flat)
    elif isinstance(node, np.ndarray):
        if not np.isfinite(node).all():
            raise TensorFileError(f"{name} must be finite, got NaN or infinity")
        flat[name] = torch.from_numpy(node.copy())
    else:
        raise TensorFileError(f"{name} must be an array of float32")
