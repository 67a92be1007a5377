"""The header of a safetensors file that someone else wrote: its length is checked, its metadata are parsed.

A safetensors file is 8 bytes that hold the header's length (little-endian), the header (JSON), and the tensors.
Nothing here needs torch, so that a program can list files quickly. Source: the safetensors library, "Format".
"""

import json
from typing import Any

TENSOR_FILE_SUFFIX = ".safetensors"
LENGTH_BYTES = 8
# What the safetensors library itself accepts; parsing a header takes many times its size in memory.
LARGEST_HEADER_BYTES = 100_000_000


class TensorFileError(ValueError):
    """Content that is not safetensors, or is damaged. The message is one line without the file's name."""


class MetadataError(TensorFileError):
    """A safetensors file whose metadata are missing or damaged: another program made it."""


def parse_metadata(content: bytes, key: str, max_header_bytes: int = LARGEST_HEADER_BYTES) -> dict[str, Any]:
    """Parse the JSON object that a safetensors file carries under a key of its metadata; tensors are not read.

    Args:
        content: the whole file, or as much as holds its header.
        key: of the file's `__metadata__`.
        max_header_bytes: the longest header that is parsed.

    Raises:
        MetadataError: there is no JSON object under the key, or a string in it is not valid Unicode.
        TensorFileError: the content is truncated or not safetensors, or its header is too long.

    Example:
        >>> header = b'{"__metadata__": {"mine": "{\\\\"format\\\\": 1}"}}'
        >>> parse_metadata(len(header).to_bytes(8, "little") + header, "mine")
        {'format': 1}
    """
    header = require_header(content, max_header_bytes)
    try:
        ours = json.loads(json.loads(header)["__metadata__"][key])
        # JSON can write half of a surrogate pair (\ud800). Such a string fails later, where it is printed or stored.
        json.dumps(ours, ensure_ascii=False).encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MetadataError("its metadata are missing or damaged") from error
    if not isinstance(ours, dict):
        raise MetadataError("its metadata are missing or damaged")
    return ours


def require_header(content: bytes, max_header_bytes: int = LARGEST_HEADER_BYTES) -> bytes:
    """The header's JSON, once its length is known to be possible.

    Args:
        content: the whole file, or as much as holds its header.
        max_header_bytes: the longest header that is accepted.

    Raises:
        TensorFileError: the content is truncated or not safetensors, or its header is too long.
    """
    if len(content) < LENGTH_BYTES:
        raise TensorFileError(f"it is no safetensors file: it has only {len(content)} bytes")
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > min(max_header_bytes, len(content) - LENGTH_BYTES):
        raise TensorFileError(f"it is no safetensors file, or is truncated: its header claims {length:,} bytes")
    return content[LENGTH_BYTES : LENGTH_BYTES + length]
