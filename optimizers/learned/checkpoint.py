"""Checkpoints of learned optimizers: safetensors with the whole recipe in the metadata. Never pickle.

Checkpoint files come from outside: size, header, names, shapes, types and values are checked before any is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from l2obench.foundation.own_file import OwnFile
from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, TensorFileError
from l2obench.optimizers import METADATA_KEY, shipped_checkpoints


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign, or made for another architecture."""

    exit_code = 2


CHECKPOINTS = OwnFile(
    "checkpoint", METADATA_KEY, 1, {"optimizer": str, "hyperparameters": dict, "recipe": dict}, CheckpointError
)


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
    """Meta-parameters φ by name, on the CPU; not yet compared with the architecture."""

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
    file = CHECKPOINTS.read(name, _locate(name))
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
    """Make the bytes of a checkpoint file; the same input gives the same bytes.

    Args:
        optimizer: name of the rule.
        hyperparameters: its architecture, from `describe_architecture`.
        recipe: how it was trained: values that JSON can hold.
        tensors: meta-parameters φ by name, on any device.
    """
    about = {"optimizer": optimizer, "hyperparameters": dict(hyperparameters), "recipe": dict(recipe)}
    return CHECKPOINTS.encode(about, tensors)


def _locate(name: str) -> Path:
    """The path of a shipped checkpoint or of a file."""
    if name.endswith(TENSOR_FILE_SUFFIX):
        return Path(name)
    group, _, _ = name.rpartition("/")
    if name not in shipped_checkpoints(group):
        known = ", ".join(shipped_checkpoints())
        raise CheckpointError(f"no checkpoint is called {name!r}; shipped: {known}; or give a .safetensors file")
    return Path(str(resources.files("l2obench.optimizers") / "checkpoints" / f"{name}{TENSOR_FILE_SUFFIX}"))
