"""Tensors that take seconds to make are made once and kept on disk."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from l2obench.foundation.regular_file import FileRefused
from l2obench.foundation.tensor_file import read_tensor_file
from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors

# Ten times the largest cache that we write. The folder may be shared, so its files are read as those of others.
MAX_BYTES = 2**30


def read_or_make(path: Path, make: Callable[[], Tensors]) -> Tensors:
    """Read tensors from a cache file; where it is missing or damaged, make them and write the file.

    Args:
        path: a safetensors file, whose name must change where the tensors would.
        make: makes the tensors. They are kept if the folder can be written, and made again next time if not.

    Returns:
        The tensors by name, on the CPU.
    """
    try:
        return read_tensor_file(path, MAX_BYTES).tensors
    except (FileRefused, TensorFileError):
        tensors = make()
        _write_if_possible(tensors, path)
        return tensors


def _write_if_possible(tensors: Tensors, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside it and renamed: another process never reads half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            save_file(tensors, Path(folder) / path.name)
            os.replace(Path(folder) / path.name, path)
    except OSError:
        return
