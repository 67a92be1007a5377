"""Checkpoints of learned optimizers: safetensors with the whole recipe in the metadata. Never pickle.

Checkpoint files come from outside: size, header, names, shapes, types and values are checked before any is used.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from l2obench.optimizers import METADATA_KEY, SUFFIX, shipped_checkpoints

FORMAT = 1
MAX_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign, or made for another architecture."""

    exit_code = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds; `checked` gives the tensors once their names and shapes are known to be right."""

    source: str
    sha256: str
    optimizer: str
    hyperparameters: Mapping[str, Any]
    recipe: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def checked(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The tensors, float32, named and shaped as `shapes` says, every value finite.

        Raises:
            CheckpointError: they are not.
        """
        if self.tensors.keys() != shapes.keys():
            different = sorted(self.tensors.keys() ^ shapes.keys())
            raise CheckpointError(
                f"{self.source} does not fit its architecture: tensors {different} missing or unknown"
            )
        for name, shape in shapes.items():
            tensor = self.tensors[name]
            if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
                raise CheckpointError(
                    f"{self.source} does not fit its architecture: {name} is {tensor.dtype} {list(tensor.shape)}, "
                    f"expected torch.float32 {list(shape)}"
                )
            if not tensor.isfinite().all():
                raise CheckpointError(f"{self.source} is damaged: {name} holds values that are not finite")
        return dict(self.tensors)


def read_checkpoint(name: str) -> Checkpoint:
    """Read a shipped checkpoint by name, or any checkpoint by the path of its .safetensors file.

    Raises:
        CheckpointError: missing, unreadable, too large, not safetensors, or not made by l2obench.
    """
    content = _content(name)
    metadata = _metadata(name, content)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{name} is damaged: {error}") from error
    return Checkpoint(
        source=name,
        sha256=hashlib.sha256(content).hexdigest(),
        optimizer=metadata["optimizer"],
        hyperparameters=metadata["hyperparameters"],
        recipe=metadata["recipe"],
        tensors=tensors,
    )


def encode_checkpoint(
    optimizer: str, hyperparameters: Mapping[str, Any], recipe: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> bytes:
    """The bytes of a checkpoint file; the same input gives the same bytes."""
    metadata = {
        "format": FORMAT,
        "optimizer": optimizer,
        "hyperparameters": dict(hyperparameters),
        "recipe": dict(recipe),
    }
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(cpu, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def _content(name: str) -> bytes:
    if not name.endswith(SUFFIX):
        group, _, _ = name.rpartition("/")
        if name not in shipped_checkpoints(group):
            known = ", ".join(shipped_checkpoints())
            raise CheckpointError(f"no checkpoint is called {name!r}; shipped: {known}; or give a .safetensors file")
        return (resources.files("l2obench.optimizers") / "checkpoints" / f"{name}{SUFFIX}").read_bytes()
    path = Path(name)
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CheckpointError(f"{name} has {size:,} bytes; a checkpoint has at most {MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {name} cannot be read: {error.strerror}") from error


def _metadata(name: str, content: bytes) -> dict[str, Any]:
    """l2obench's part of the safetensors header: 8 bytes of length, then JSON."""
    if len(content) < 8:
        raise CheckpointError(f"{name} is no safetensors file: it has only {len(content)} bytes")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise CheckpointError(f"{name} is no safetensors file, or is truncated: its header claims {length:,} bytes")
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = json.loads(header["__metadata__"][METADATA_KEY])
        expected = (("optimizer", str), ("hyperparameters", dict), ("recipe", dict))
        valid = metadata["format"] == FORMAT and all(isinstance(metadata[key], kind) for key, kind in expected)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{name} is no checkpoint of l2obench: its metadata are missing or damaged") from error
    if not valid:
        raise CheckpointError(f"{name} is a checkpoint of another format than {FORMAT}, which this version reads")
    return dict(metadata)
