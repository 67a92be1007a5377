"""MNIST-1D: ten signals drawn by hand, padded, scaled, moved, sheared, with noise. Its authors' package makes it.

Source: Greydanus 2020, "Scaling down deep learning", and its package `mnist1d`, with the settings and the seed that it
has: 4,000 signals to train on, 1,000 to test. Nothing is downloaded.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from l2obench.tasks.base import Tensors
from l2obench.tasks.data.cache import read_or_make
from l2obench.tasks.data.file_hash import file_sha256
from l2obench.tasks.data.folder import DataMissing, data_dir
from l2obench.tasks.data.labelled import Labelled

# The files of the package that decide what the data are: a manifest names their SHA-256.
GENERATOR = ("data.py", "transform.py")


def mnist1d(split: Literal["train", "test"]) -> Labelled:
    """The signals of a split, centred and scaled as in the paper.

    Args:
        split: which examples.

    Returns:
        4,000 or 1,000 signals `[n, 40]` with labels in ten classes.

    Raises:
        DataMissing: the package `mnist1d` is not installed.
    """
    return _mnist1d(split, data_dir())


@lru_cache(maxsize=2)
def _mnist1d(split: str, folder: Path) -> Labelled:
    key = "".join(source["sha256"][:8] for source in mnist1d_sources().values())
    tensors = read_or_make(folder / f"mnist1d-{key}.safetensors", _make)  # making them takes seconds
    return Labelled.of(tensors[f"{split} signals"], tensors[f"{split} labels"], 10)


def mnist1d_sources() -> dict[str, dict[str, str]]:
    """The SHA-256 of the two files that generate the data, for a run's manifest.

    Raises:
        DataMissing: the package is not installed.
    """
    spec = find_spec("mnist1d")
    if spec is None or spec.origin is None:
        raise DataMissing("data=mnist1d needs the package mnist1d; run 'pip install mnist1d'")
    folder, about = Path(spec.origin).parent, "generator of MNIST-1D in the mnist1d wheel"
    return {f"mnist1d/{name}": {"description": about, "sha256": file_sha256(folder / name)} for name in GENERATOR}


def _make() -> Tensors:
    from mnist1d.data import make_dataset

    with _global_seeds_kept():
        made = make_dataset()
    tensors = {"train signals": made["x"], "train labels": made["y"]}
    tensors |= {"test signals": made["x_test"], "test labels": made["y_test"]}
    return {name: torch.from_numpy(value) for name, value in tensors.items()}


@contextmanager
def _global_seeds_kept() -> Iterator[None]:
    """The package seeds the generators of Python and NumPy: leave them as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
