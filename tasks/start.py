"""Learned initialisations: where every function of a family begins, from a safetensors file. Never pickle.

Start files come from outside: size, metadata, names, shapes, types and values are checked before any is used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors.torch import save

from l2obench.foundation.regular_file import FileRefused
from l2obench.foundation.tensor_file import read_tensor_file, require_tensors
from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, MetadataError, TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.tasks import shipped_starts

METADATA_KEY = "l2obench-start"
# Raised when older versions could no longer read what is written.
FORMAT = 1
# A file from outside can claim any size. The starts that come with the package take less than a hundredth of this.
MAX_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**20


class StartError(ValueError):
    """A start that is missing, damaged, foreign, or made for other parameters."""

    exit_code = 2


@dataclass(frozen=True)
class Start:
    """A learned initialisation, as its file holds it; two with the same bytes are equal."""

    sha256: str
    """Of the file, hexadecimal."""
    source: str = field(compare=False)
    """The name or the path that it was read by, for errors."""
    recipe: Mapping[str, Any] = field(compare=False)
    """How it was learned: the values of `l2obench train-start`."""
    params: Tensors = field(compare=False)
    """θ₀ of one replica by name, float32."""

    def checked(self, shapes: Mapping[str, tuple[int, ...]]) -> "Start":
        """This start, if its parameters are float32, finite, named and shaped as `shapes` says.

        Args:
            shapes: the shape of each parameter of one replica, by name.

        Raises:
            StartError: they are not.
        """
        try:
            require_tensors(self.params, shapes)
        except TensorFileError as error:
            hint = "give the units and layers it was learned with"
            raise StartError(f"start {self.source} does not fit: {error}; {hint}") from error
        return self


def read_start(name: str, family: str) -> Start:
    """Read a shipped start of a family by name, or any start by the path of its .safetensors file.

    Args:
        name: a name in `shipped_starts(family)`, or a path that ends in .safetensors.
        family: the task's name, such as `sinusoid`.

    Raises:
        StartError: missing, unreadable, too large, not safetensors, or not made by l2obench.
    """
    path = Path(name)
    if not name.endswith(TENSOR_FILE_SUFFIX):
        if name not in (known := shipped_starts(family)):
            raise StartError(
                f"{family} has no start called {name!r}; shipped: {', '.join(known)}; or give a .safetensors file"
            )
        path = Path(str(resources.files("l2obench.tasks") / "starts" / family / f"{name}{TENSOR_FILE_SUFFIX}"))
    try:
        file = read_tensor_file(path, MAX_BYTES, METADATA_KEY, MAX_HEADER_BYTES)
    except MetadataError as error:
        raise StartError(f"{name} is no start of l2obench: {error}") from error
    except (FileRefused, TensorFileError) as error:
        raise StartError(f"start {name}: {error}") from error
    return Start(file.sha256, name, _recipe(name, file.metadata), file.tensors)


def encode_start(recipe: Mapping[str, Any], params: Tensors) -> bytes:
    """The bytes of a start file; the same input gives the same bytes.

    Args:
        recipe: how the start was learned: values that JSON can hold.
        params: θ₀ of one replica by name, on any device.
    """
    cpu = {name: value.detach().cpu().contiguous() for name, value in params.items()}
    return save(cpu, metadata={METADATA_KEY: json.dumps({"format": FORMAT, "recipe": dict(recipe)}, sort_keys=True)})


def _recipe(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """How the start was learned, from our part of the file's metadata."""
    if "format" not in metadata or not isinstance(metadata.get("recipe"), dict):
        raise StartError(f"{name} is no start of l2obench: its metadata are missing or damaged")
    if metadata["format"] != FORMAT:
        raise StartError(f"{name} must be a start of format {FORMAT}, got format {metadata['format']!r:.20}")
    return dict(metadata["recipe"])
