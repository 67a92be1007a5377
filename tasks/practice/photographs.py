"""Crops of ten photographs, as the image models of `practice` take them."""

from typing import Any, Literal

from torch import Tensor

from l2obench.tasks.data.folder import data_dir
from l2obench.tasks.data.images import labelled_images
from l2obench.tasks.data.photos10 import photos10_sources
from l2obench.tasks.practice.base import Classification

CLASSES = 10


class PhotographClassification(Classification):
    """Which of ten photographs a crop of 32×32 pixels is from: 5,000 crops to train on, 1,000 held out."""

    def training_data(self) -> Any:
        return crops("train")

    def heldout_data(self) -> Any:
        return crops("test")

    def sources(self) -> dict[str, Any]:
        return {**super().sources(), **photos10_sources()}


def crops(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Images `[n, 3, 32, 32]` in −1..1, and their photographs `[n]` from 0 to 9.

    Args:
        split: crops of the two splits have no pixel in common.
    """
    found = labelled_images("photos10", split, f"0-{CLASSES - 1}", str(data_dir()))
    return found.images, found.labels
