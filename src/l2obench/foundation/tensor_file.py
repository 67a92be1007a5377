"""Reading safetensors files that someone else wrote: every limit is checked first, and nothing is unpickled."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from l2obench.foundation.regular_file import read_regular_file
from l2obench.foundation.tensor_metadata import (
    LARGEST_HEADER_BYTES,
    TensorFileError,
    parse_metadata,
    require_header,
)
from l2obench.foundation.tensors import Tensors


@dataclass(frozen=True, eq=False)
class TensorFile:
    """What a safetensors file holds."""

    sha256: str
    """Of the whole file, hexadecimal."""
    metadata: Mapping[str, Any]
    """The JSON object under the reader's key; empty where the reader has no key."""
    tensors: Tensors
    """In the order of their names. (The library's own order differs from one read to the next.)"""


def read_tensor_file(
    path: Path, max_bytes: int, metadata_key: str | None = None, max_header_bytes: int = LARGEST_HEADER_BYTES
) -> TensorFile:
    """Read a safetensors file from outside.

    Args:
        path: the file, which must be regular.
        max_bytes: the largest file that is read.
        metadata_key: see `parse_tensor_file`.
        max_header_bytes: see `parse_tensor_file`.

    Raises:
        FileRefused: the file is missing, unreadable, not regular or too large.
        TensorFileError: its content is not what `parse_tensor_file` accepts.
    """
    return parse_tensor_file(read_regular_file(path, max_bytes), metadata_key, max_header_bytes)


def parse_tensor_file(
    content: bytes, metadata_key: str | None = None, max_header_bytes: int = LARGEST_HEADER_BYTES
) -> TensorFile:
    """Parse the bytes of a safetensors file.

    Args:
        content: the whole file.
        metadata_key: where in the header's `__metadata__` the reader's own JSON object is; None: the reader has none.
        max_header_bytes: the longest header that is parsed.

    Raises:
        MetadataError: there is no JSON object under the key, or a string in it is not valid Unicode.
        TensorFileError: the content is truncated, damaged or not safetensors, or its header is too long.

    Example:
        >>> import torch
        >>> from safetensors.torch import save
        >>> content = save({"w": torch.ones(2)}, metadata={"mine": '{"format": 1}'})
        >>> file = parse_tensor_file(content, metadata_key="mine")
        >>> file.metadata, file.tensors
        ({'format': 1}, {'w': tensor([1., 1.])})
    """
    require_header(content, max_header_bytes)
    metadata = {} if metadata_key is None else parse_metadata(content, metadata_key, max_header_bytes)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TensorFileError(f"it is damaged: {' '.join(str(error).split()) or type(error).__name__}") from error
    return TensorFile(hashlib.sha256(content).hexdigest(), metadata, dict(sorted(tensors.items())))


def require_tensors(tensors: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make sure that tensors from outside are exactly those that are expected: float32, and finite.

    Args:
        tensors: by name.
        shapes: the expected shape of each.

    Raises:
        TensorFileError: a tensor is missing or unknown, has another shape or type, or holds NaN or infinity.

    Example:
        >>> require_tensors({"w": torch.ones(2)}, {"w": (3,)})
        Traceback (most recent call last):
        ...
        l2obench.foundation.tensor_metadata.TensorFileError: w must be torch.float32 [3], got torch.float32 [2]
    """
    if tensors.keys() != shapes.keys():
        raise TensorFileError(f"tensors {sorted(tensors.keys() ^ shapes.keys())} missing or unknown")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise TensorFileError(
                f"{name} must be torch.float32 {list(shape)}, got {tensor.dtype} {list(tensor.shape)}"
            )
        if not tensor.isfinite().all():
            raise TensorFileError(f"{name} must be finite, got NaN or infinity")
