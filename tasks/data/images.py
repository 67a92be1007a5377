"""32×32 colour images with labels, from either source, and the ranges of labels that a task may take."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from l2obench.tasks.data.cifar10 import read_cifar10
from l2obench.tasks.data.photos10 import crops

ImageSource = Literal["photos10", "cifar10"]


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: `images` `[n, 3, 32, 32]` float32 in -1..1, `labels` `[n]` int64 from 0."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Images":
        """These images on another device. The copy is made once and kept.

        Args:
            device: where to.
        """
        return self if self.images.device == device else _on_device(self, device)


def label_range(labels: str) -> range:
    """The labels that a range such as `0-4` names.

    Args:
        labels: the first and the last label, with a hyphen between them.

    Example:
        >>> list(label_range("2-4"))
        [2, 3, 4]
    """
    first, last = labels.split("-")
    return range(int(first), int(last) + 1)


def labelled_images(source: ImageSource, split: Literal["train", "test"], labels: str, folder: str) -> Images:
    """The images of a split with labels in a range, which count from 0 in the result.

    Args:
        source: `photos10`, crops of ten photographs, or `cifar10`.
        split: which images.
        labels: a range as `label_range` takes it.
        folder: where CIFAR-10's archive is.

    Returns:
        Images `[n, 3, 32, 32]` in −1..1 with their labels. Later calls give the same tensors: do not change them.

    Raises:
        DataMissing: the archive is not there, or is not CIFAR-10's.
    """
    return _labelled_images(source, split, labels, folder)


@lru_cache(maxsize=4)
def _on_device(images: Images, device: torch.device) -> Images:
    return Images(images.images.to(device), images.labels.to(device))


@lru_cache(maxsize=8)
def _labelled_images(source: ImageSource, split: Literal["train", "test"], labels: str, folder: str) -> Images:
    pixels, found = crops(split) if source == "photos10" else read_cifar10(split, Path(folder))
    wanted = label_range(labels)
    chosen = (found >= wanted.start) & (found < wanted.stop)
    return Images(pixels[chosen].float().div_(127.5).sub_(1), found[chosen] - wanted.start)
