"""From a file of published weights to a checkpoint: whose weights they are is read off the file itself."""

import hashlib
from pathlib import Path

from l2obench.foundation.own_file import MAX_BYTES
from l2obench.foundation.regular_file import FileRefused, read_regular_file
from l2obench.foundation.tensor_file import parse_tensor_file
from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.checkpoint import CheckpointError, encode_checkpoint
from l2obench.optimizers.learned.progress_features import PROGRESS_FEATURES
from l2obench.optimizers.published.celo import celo_from_flax
from l2obench.optimizers.published.celo2 import celo2_from_torch
from l2obench.optimizers.published.flax_file import parse_flax_file
from l2obench.optimizers.published.open_l2o import open_l2o_from_pickle
from l2obench.optimizers.published.pickled_arrays import parse_pickled_arrays
from l2obench.optimizers.published.velo import velo_from_flax

SOURCES = {
    "velo": ("google/learned_optimization, Metz et al. 2022", "Apache-2.0"),
    "celo": ("amoudgl/celo, Moudgil et al. 2025", "MIT"),
    "celo-adam": ("amoudgl/celo, Moudgil et al. 2025", "MIT"),
    "celo2": ("Belilovsky-Lab/pylo, Moudgil et al. 2026", "BSD-3-Clause"),
    "lstm": ("VITA-Group/Open-L2O, Chen et al. 2022", "MIT"),
    "rnnprop": ("VITA-Group/Open-L2O, Chen et al. 2022", "MIT"),
}
"""Where the weights of each rule are published, and under which licence that repository stands."""
PICKLE = b"\x80"
"""The first byte of a pickle. In msgpack it is an empty map, which is no file of weights."""


def convert(path: Path) -> tuple[str, bytes]:
    """A checkpoint from a file of published weights.

    Args:
        path: VeLO's or Celo's `theta.state` or `params` (msgpack of flax), Celo2's weights as .safetensors, or
            Open-L2O's `cw.l2l-0` or `rp.l2l-0` (a pickle, which is read and never unpickled).

    Returns:
        The name of the rule, and the bytes of a checkpoint whose recipe names file, hash, source and licence.

    Raises:
        CheckpointError: the file cannot be read, or holds something else; or msgpack is not installed.
    """
    try:
        content = read_regular_file(path, MAX_BYTES)
    except FileRefused as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        rule: LearnedOptimizer
        if path.suffix == TENSOR_FILE_SUFFIX:
            rule = celo2_from_torch(parse_tensor_file(content).tensors)
        elif content.startswith(PICKLE):
            rule = open_l2o_from_pickle(parse_pickled_arrays(content))
        else:
            rule = _read_flax(content)
    except TensorFileError as error:
        known = "VeLO, Celo, Celo2 or Open-L2O"
        raise CheckpointError(f"{path} must hold the published weights of {known}: {error}") from error
    source, licence = SOURCES[rule.name]
    recipe = {
        "converted_from": path.name,
        "converted_sha256": hashlib.sha256(content).hexdigest(),
        "source": source,
        "licence": licence,
    }
    return rule.name, encode_checkpoint(rule.name, rule.describe_architecture(), recipe, _plain(rule.meta_parameters))


def _read_flax(content: bytes) -> LearnedOptimizer:
    tensors = parse_flax_file(content)
    inputs = tensors.get("rnn_params/linear/w")
    # The inputs of the LSTM tell the two apart: VeLO's sees each tensor, Celo's only time and loss.
    celo = inputs is not None and inputs.ndim == 2 and inputs.shape[0] == PROGRESS_FEATURES
    return celo_from_flax(tensors) if celo else velo_from_flax(tensors)


def _plain(tensors: Tensors) -> Tensors:
    """The tensors without shared memory, which safetensors refuses."""
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
