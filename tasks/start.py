"""Learned initialisations: where every function of a family begins, from a safetensors file. Never pickle.

Start files come from outside: size, metadata, names, shapes, types and values are checked before any is used.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from l2obench.tasks import SUFFIX, shipped_starts
from l2obench.tasks.base import Tensors

METADATA_KEY = "l2obench-start"
FORMAT = 1
MAX_BYTES = 64 * 2**20


class StartError(ValueError):
    """A start that is missing, damaged, foreign, or made for other parameters."""

    exit_code = 2


@dataclass(frozen=True)
class Start:
    """What a start file holds; two with the same bytes are equal."""

    sha256: str
    source: str = field(compare=False)
    recipe: Mapping[str, Any] = field(compare=False)
    params: Tensors = field(compare=False)

    def checked(self, shapes: Mapping[str, tuple[int, ...]]) -> "Start":
        """This start, if its parameters are float32, finite, named and shaped as `shapes` says.

        Raises:
            StartError: they are not.
        """
        if self.params.keys() != shapes.keys():
            different = sorted(self.params.keys() ^ shapes.keys())
            raise StartError(f"start {self.source} does not fit: parameters {different} missing or unknown")
        for name, shape in shapes.items():
            value = self.params[name]
            if tuple(value.shape) != shape or value.dtype != torch.float32:
                raise StartError(
                    f"start {self.source} does not fit: {name} is {value.dtype} {list(value.shape)}, "
                    f"expected torch.float32 {list(shape)}; give the units and layers it was learned with"
                )
            if not value.isfinite().all():
                raise StartError(f"start {self.source} is damaged: {name} holds values that are not finite")
        return self


def read_start(name: str, family: str) -> Start:
    """Read a shipped start of a family by name, or any start by the path of its .safetensors file.

    Raises:
        StartError: missing, unreadable, too large, not safetensors, or not made by l2obench.
    """
    path = Path(name)
    if not name.endswith(SUFFIX):
        if name not in (known := shipped_starts(family)):
            raise StartError(
                f"{family} has no start called {name!r}; shipped: {', '.join(known)}; or give a .safetensors file"
            )
        path = Path(str(resources.files("l2obench.tasks") / "starts" / family / f"{name}{SUFFIX}"))
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise StartError(f"start {name} has {size:,} bytes; one has at most {MAX_BYTES:,}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            params = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - it is no dict
    except OSError as error:
        raise StartError(f"start {name} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise StartError(f"start {name} is no safetensors file, or is damaged: {error}") from error
    return Start(sha256, name, _recipe(name, metadata), params)


def encode_start(recipe: Mapping[str, Any], params: Tensors) -> bytes:
    """The bytes of a start file; the same input gives the same bytes."""
    cpu = {name: value.detach().cpu().contiguous() for name, value in params.items()}
    return save(cpu, metadata={METADATA_KEY: json.dumps({"format": FORMAT, "recipe": dict(recipe)}, sort_keys=True)})


def _recipe(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """How the start was learned, from our part of the file's metadata."""
    try:
        ours = json.loads(metadata[METADATA_KEY])
        recipe, known = dict(ours["recipe"]), ours["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StartError(f"{name} is no start of l2obench: its metadata are missing or damaged") from error
    if not known:
        raise StartError(f"{name} is a start of another format than {FORMAT}, which this version reads")
    return recipe
