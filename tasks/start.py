"""Learned initialisations: where every function of a family begins, from a safetensors file. Never pickle.

Start files come from outside: size, metadata, names, shapes, types and values are checked before any is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from l2obench.foundation.own_file import OwnFile
from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.tasks import shipped_starts


class StartError(ValueError):
    """A start that is missing, damaged, foreign, or made for other parameters."""

    exit_code = 2


STARTS = OwnFile("start", "l2obench-start", 1, {"recipe": dict}, StartError)


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
    file = STARTS.read(name, path)
    return Start(file.sha256, name, dict(file.metadata["recipe"]), file.tensors)


def encode_start(recipe: Mapping[str, Any], params: Tensors) -> bytes:
    """Make the bytes of a start file; the same input gives the same bytes.

    Args:
        recipe: how the start was learned: values that JSON can hold.
        params: θ₀ of one replica by name, on any device.
    """
    return STARTS.encode({"recipe": dict(recipe)}, params)
