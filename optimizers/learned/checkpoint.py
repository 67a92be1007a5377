"""Checkpoints of learned optimizers: safetensors with the whole recipe in the metadata. Never pickle.

Checkpoint files come from outside: size, header, names, shapes, types and values are checked before any is used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from l2obench.foundation.regular_file import FileRefused, read_regular_file
from l2obench.foundation.tensor_file import parse_tensor_file, require_tensors
from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, MetadataError, TensorFileError
from l2obench.optimizers import METADATA_KEY, shipped_checkpoints

# Raised when older versions could no longer read what is written.
FORMAT = 1
# A file from outside can claim any size. VeLO, the largest rule here, takes 9 MB with its defaults.
MAX_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign, or made for another architecture."""

    exit_code = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds; `checked` gives the tensors once their names and shapes are known to be right."""

    source: str
    """The name or the path that it was read by, for errors."""
    sha256: str
    """Of the file, hexadecimal."""
    optimizer: str
    """Name of the rule."""
    hyperparameters: Mapping[str, Any]
    """The architecture: values of the fields that the rule names in `architecture`."""
    recipe: Mapping[str, Any]
    """How it was trained, or where it was published."""
    tensors: Mapping[str, Tensor]
    """Meta-parameters φ by name, on the CPU; not yet held against the architecture."""

    def checked(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The tensors, float32, named and shaped as `shapes` says, every value finite.

        Args:
            shapes: the shape of each meta-parameter, from `meta_shapes`.

        Raises:
            CheckpointError: they are not.
        """
        try:
            require_tensors(self.tensors, shapes)
        except TensorFileError as error:
            raise CheckpointError(f"{self.source} does not fit its architecture: {error}") from error
        return dict(self.tensors)


def read_checkpoint(name: str) -> Checkpoint:
    """Read a shipped checkpoint by name, or any checkpoint by the path of its .safetensors file.

    Args:
        name: a name in `shipped_checkpoints`, or a path that ends in .safetensors.

    Raises:
        CheckpointError: missing, unreadable, too large, not safetensors, or not made by l2obench.

    Example:
        >>> from l2obench.optimizers import rule_of_checkpoint, shipped_checkpoints
        >>> name = shipped_checkpoints()[0]
        >>> read_checkpoint(name).optimizer == rule_of_checkpoint(name)
        True
    """
    try:
        file = parse_tensor_file(_content(name), METADATA_KEY, MAX_HEADER_BYTES)
    except MetadataError as error:
        raise CheckpointError(f"{name} is no checkpoint of l2obench: {error}") from error
    except TensorFileError as error:
        raise CheckpointError(f"checkpoint {name}: {error}") from error
    _require_format(name, file.metadata)
    return Checkpoint(
        source=name,
        sha256=file.sha256,
        optimizer=file.metadata["optimizer"],
        hyperparameters=file.metadata["hyperparameters"],
        recipe=file.metadata["recipe"],
        tensors=file.tensors,
    )


def encode_checkpoint(
    optimizer: str, hyperparameters: Mapping[str, Any], recipe: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> bytes:
    """The bytes of a checkpoint file; the same input gives the same bytes.

    Args:
        optimizer: name of the rule.
        hyperparameters: its architecture, from `describe_architecture`.
        recipe: how it was trained: values that JSON can hold.
        tensors: meta-parameters φ by name, on any device.
    """
    metadata = {
        "format": FORMAT,
        "optimizer": optimizer,
        "hyperparameters": dict(hyperparameters),
        "recipe": dict(recipe),
    }
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(cpu, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def _content(name: str) -> bytes:
    """The bytes of a shipped checkpoint or of a file."""
    path = Path(name)
    if not name.endswith(TENSOR_FILE_SUFFIX):
        group, _, _ = name.rpartition("/")
        if name not in shipped_checkpoints(group):
            known = ", ".join(shipped_checkpoints())
            raise CheckpointError(f"no checkpoint is called {name!r}; shipped: {known}; or give a .safetensors file")
        path = Path(str(resources.files("l2obench.optimizers") / "checkpoints" / f"{name}{TENSOR_FILE_SUFFIX}"))
    try:
        return read_regular_file(path, MAX_BYTES)
    except FileRefused as error:
        raise CheckpointError(f"checkpoint {name}: {error}") from error


def _require_format(name: str, metadata: Mapping[str, Any]) -> None:
    """Make sure that the metadata are those of a checkpoint that this version reads."""
    expected = (("optimizer", str), ("hyperparameters", dict), ("recipe", dict))
    if "format" not in metadata or not all(isinstance(metadata.get(key), kind) for key, kind in expected):
        raise CheckpointError(f"{name} is no checkpoint of l2obench: its metadata are missing or damaged")
    if metadata["format"] != FORMAT:
        raise CheckpointError(f"{name} must be a checkpoint of format {FORMAT}, got format {metadata['format']!r:.20}")
