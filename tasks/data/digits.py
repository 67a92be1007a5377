"""Handwritten digits from either of two sources. One source never stands in for the other."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from l2obench.tasks.data.folder import data_dir
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.mnist import mnist_sources, read_mnist
from l2obench.tasks.data.mnist5k import mnist5k_sources, read_mnist5k

DigitSource = Literal["mnist5k", "mnist"]


def digits(source: DigitSource, split: Literal["train", "test"]) -> Labelled:
    """The digits of a split, `[n, 784]`, pixels scaled to 0..1.

    Args:
        source: `mnist5k`, 5,000 digits that come in a wheel, or `mnist`, all 70,000.
        split: which examples.

    Returns:
        Digits with labels in ten classes: 4,000 and 1,000 of `mnist5k`, 60,000 and 10,000 of `mnist`.

    Raises:
        DataMissing: `source` is not on this machine; the message says how to get it.

    Example:
        >>> digits("mnist5k", "test").inputs.shape
        torch.Size([1000, 784])
    """
    return _digits(source, split, str(data_dir()))


@lru_cache(maxsize=4)
def _digits(source: DigitSource, split: str, folder: str) -> Labelled:
    read = read_mnist5k if source == "mnist5k" else read_mnist
    images, labels = read(split, Path(folder))
    return Labelled.of(images.flatten(1).float().div_(255), labels, 10)


def digits_sources(source: DigitSource) -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of each file behind `source`, for a run's manifest.

    Args:
        source: `mnist5k` or `mnist`.
    """
    return mnist5k_sources() if source == "mnist5k" else mnist_sources()
