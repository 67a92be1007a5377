"""The safetensors files that l2obench writes and reads again: checkpoints of optimizers and starts of tasks.

Such a file may come from outside. Its size, header and metadata are checked here, its tensors where they are used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from l2obench.foundation.regular_file import FileRefused
from l2obench.foundation.tensor_file import TensorFile, read_tensor_file
from l2obench.foundation.tensor_metadata import MetadataError, TensorFileError

# A file from outside can claim any size. VeLO's checkpoint, the largest file of ours, takes 9 MB.
MAX_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20


@dataclass(frozen=True)
class OwnFile:
    """One kind of such files.

    Example:
        >>> notes = OwnFile("note", "l2obench-note", 1, {"text": str}, ValueError)
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.safetensors"
        >>> size = path.write_bytes(notes.encode({"text": "hello"}, {}))
        >>> notes.read("note", path).metadata["text"]
        'hello'
    """

    kind: str
    """What errors call it."""
    metadata_key: str
    """Where in the header's `__metadata__` our JSON object is."""
    format: int
    """Raised when older versions could no longer read what is written."""
    entries: Mapping[str, type]
    """What the JSON object holds, besides the format."""
    error: type[Exception]
    """Raised where a file is not of this kind."""

    def read(self, name: str, path: Path) -> TensorFile:
        """Read a file.

        Args:
            name: what the user called it, for errors.
            path: of the file.

        Raises:
            error: it is missing, unreadable, too large, not safetensors, or not of this kind and format.
        """
        try:
            file = read_tensor_file(path, MAX_BYTES, self.metadata_key, MAX_HEADER_BYTES)
        except MetadataError as error:
            raise self.error(f"{name} is no {self.kind} of l2obench: {error}") from error
        except (FileRefused, TensorFileError) as error:
            raise self.error(f"{self.kind} {name}: {error}") from error
        found = file.metadata
        if "format" not in found or not all(isinstance(found.get(key), kind) for key, kind in self.entries.items()):
            raise self.error(f"{name} is no {self.kind} of l2obench: its metadata are missing or damaged")
        if found["format"] != self.format:
            raise self.error(
                f"{name} must be a {self.kind} of format {self.format}, got format {found['format']!r:.20}"
            )
        return file

    def encode(self, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
        """Make the bytes of a file; the same input gives the same bytes.

        Args:
            metadata: a value for each of `entries`, of what JSON can hold.
            tensors: by name, on any device.
        """
        cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        ours = json.dumps({"format": self.format, **metadata}, sort_keys=True)
        return save(cpu, metadata={self.metadata_key: ours})
