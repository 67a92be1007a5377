"""MNIST through torchvision: downloaded on request only, and checked by the SHA-256 of its files."""

import os
from pathlib import Path

from torch import Tensor

from l2obench.foundation.errors import describe_message
from l2obench.tasks.data.file_hash import file_sha256
from l2obench.tasks.data.folder import DataMissing

# The four files of http://yann.lecun.com/exdb/mnist, as every mirror serves them.
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def fetch_mnist(folder: Path) -> None:
    """Download MNIST by torchvision into `folder`/MNIST/raw, unless it is there, and check the SHA-256 of its files.

    Args:
        folder: the folder for data, from `data_dir`.

    Raises:
        DataMissing: the download failed, or a file is not the one that MNIST_SHA256 names.
    """
    from torchvision.datasets import MNIST

    try:
        MNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise DataMissing(
            f"MNIST could not be downloaded to {folder} ({describe_message(error)}). Try: copy the four .gz files into "
            f"{_raw(folder)} by hand, or use data=mnist5k, which needs no download"
        ) from error
    _require_mnist(folder)


def read_mnist(split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of MNIST: 60,000 to train on, 10,000 to test.

    Args:
        split: `train` or `test`.
        folder: the folder for data, from `data_dir`.

    Returns:
        Images `[n, 28, 28]` uint8 and labels `[n]` int64.

    Raises:
        DataMissing: MNIST's files are not in `folder`, or are not MNIST's.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import extract_archive

    _require_mnist(folder)
    for name in MNIST_SHA256:
        if not os.path.exists((_raw(folder) / name).with_suffix("")):
            extract_archive(str(_raw(folder) / name), str(_raw(folder)))
    dataset = MNIST(str(folder), train=split == "train", download=False)
    return dataset.data, dataset.targets


def mnist_sources() -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of each of MNIST's files, for a run's manifest."""
    about = "MNIST through torchvision (60,000 train, 10,000 test)"
    return {name: {"description": about, "sha256": sha256} for name, sha256 in MNIST_SHA256.items()}


def _raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def _require_mnist(folder: Path) -> None:
    for name, expected in MNIST_SHA256.items():
        path = _raw(folder) / name
        if not os.path.isfile(path):
            raise DataMissing(
                f"data=mnist needs {path}, which is not there. Try: run 'l2obench prepare mnist' "
                "(--data-dir for files that you have), or use data=mnist5k, which needs no download"
            )
        if (found := file_sha256(path)) != expected:
            raise DataMissing(
                f"{path} must be MNIST's file with SHA-256 {expected[:12]}…, got {found[:12]}…. Try: delete it and "
                "run 'l2obench prepare mnist'"
            )
