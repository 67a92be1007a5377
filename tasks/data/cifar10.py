"""CIFAR-10 in its binary version: one archive, read without unpacking and without unpickling.

torchvision's own dataset unpickles the archive's Python version, so only its downloader is used here.
"""

import os
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from l2obench.foundation.errors import describe_message
from l2obench.tasks.data.file_hash import file_sha256
from l2obench.tasks.data.folder import DataMissing

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
# A damaged archive, or another one, would give other results.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FILES = {
    "train": [f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)],
    "test": ["cifar-10-batches-bin/test_batch.bin"],
}
# Bytes of one image in the binary version: its label, then three planes of 32×32 pixels.
RECORD = 1 + 3 * 32 * 32


def archive(folder: Path) -> Path:
    """The path of the archive in a data folder.

    Args:
        folder: the folder for data, from `data_dir`.
    """
    return folder / "cifar-10-binary.tar.gz"


def fetch_cifar10(folder: Path) -> None:
    """Download the archive into `folder`, unless it is there, and check its SHA-256.

    Args:
        folder: the folder for data, from `data_dir`.

    Raises:
        DataMissing: the download failed, or the file is not CIFAR-10's.
    """
    from torchvision.datasets.utils import download_url

    if not os.path.isfile(archive(folder)):
        try:
            download_url(URL, str(folder), archive(folder).name)
        except (OSError, RuntimeError) as error:
            raise DataMissing(
                f"CIFAR-10 could not be downloaded ({describe_message(error)}). Try: put {archive(folder).name} "
                f"into {folder} by hand, or use data=photos10, which needs no download"
            ) from error
    check_cifar10(folder)


def check_cifar10(folder: Path) -> None:
    """Make sure that the archive is there and is CIFAR-10's.

    Args:
        folder: the folder for data, from `data_dir`.

    Raises:
        DataMissing: it is not; the message says what to do.
    """
    path = archive(folder)
    if not os.path.isfile(path):
        raise DataMissing(
            f"data=cifar10 needs {path}, which is not there; run 'l2obench prepare cifar10' "
            "(--data-dir for files that you have), or use data=photos10, which needs no download"
        )
    if (found := file_sha256(path)) != SHA256:
        raise DataMissing(
            f"{path} is not CIFAR-10's file (SHA-256 {found[:12]}…, expected {SHA256[:12]}…); delete it and run "
            "'l2obench prepare cifar10'"
        )


def read_cifar10(split: Literal["train", "test"], folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of CIFAR-10: 50,000 to train on, 10,000 to test.

    Args:
        split: which images.
        folder: the folder for data, from `data_dir`.

    Returns:
        Images `[n, 3, 32, 32]` uint8 and labels `[n]` int64.

    Raises:
        DataMissing: the archive is not there, or is not CIFAR-10's.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
    """
    check_cifar10(folder)
    with tarfile.open(archive(folder)) as tar:
        parts = [_read(tar, name) for name in FILES[split]]
    records = torch.from_numpy(np.concatenate(parts))
    return records[:, 1:].reshape(-1, 3, 32, 32).contiguous(), records[:, 0].long()


def cifar10_sources() -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of the archive, for a run's manifest."""
    return {"cifar10": {"description": "CIFAR-10, binary version (50,000 train, 10,000 test)", "sha256": SHA256}}


def _read(tar: tarfile.TarFile, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    file = tar.extractfile(name)
    assert file is not None  # the archive's SHA-256 was checked
    return np.frombuffer(file.read(), dtype=np.uint8).reshape(-1, RECORD)
