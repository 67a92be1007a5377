"""Small real data sets that travel inside the scikit-learn wheel, with a split into training and test examples."""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import torch

from l2obench.tasks.data.file_hash import file_sha256
from l2obench.tasks.data.labelled import Labelled

ScikitSource = Literal["breast-cancer", "digits", "wine"]
FILES: dict[ScikitSource, str] = {
    "breast-cancer": "breast_cancer.csv",
    "digits": "digits.csv.gz",
    "wine": "wine_data.csv",
}
TEST_SHARE = 0.2
# Results depend on the split: the seed must never change.
SHUFFLE_SEED = 20161130


@lru_cache(maxsize=8)
def scikit(source: ScikitSource, split: Literal["train", "test"]) -> Labelled:
    """The examples of a split, features as in the file. After a shuffle, a fifth of the examples is for tests.

    Args:
        source: `breast-cancer`: 569 examples of 30 features in 2 classes. `digits`: 1,797 of 64 (8×8 pixels, 0 to 16)
            in 10. `wine`: 178 of 13 in 3.
        split: which examples.

    Returns:
        Examples `[n, features]`. Later calls give the same tensors: do not change them.

    Example:
        >>> scikit("wine", "test").inputs.shape
        torch.Size([35, 13])
    """
    from sklearn import datasets

    load = {"breast-cancer": datasets.load_breast_cancer, "digits": datasets.load_digits, "wine": datasets.load_wine}
    features, labels = map(torch.from_numpy, load[source](return_X_y=True))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SHUFFLE_SEED))
    test = int(TEST_SHARE * len(labels))
    chosen = order[test:] if split == "train" else order[:test]
    return Labelled.of(features[chosen], labels[chosen], int(labels.max()) + 1)


@lru_cache(maxsize=2)
def scikit_digits(split: Literal["train", "test"]) -> Labelled:
    """The 8×8 digits of a split, pixels scaled to 0..1.

    Args:
        split: which examples.

    Returns:
        Pixels `[n, 64]`. Later calls give the same tensors: do not change them.
    """
    digits = scikit("digits", split)
    return Labelled(digits.inputs / 16, digits.labels, digits.one_hot)


def scikit_sources(source: ScikitSource) -> dict[str, dict[str, str]]:
    """A description and the SHA-256 of the file behind `source`, for a run's manifest.

    Args:
        source: as in `scikit`.
    """
    path = Path(str(resources.files("sklearn") / "datasets" / "data" / FILES[source]))
    return {source: {"description": f"{path.name} in the scikit-learn wheel", "sha256": file_sha256(path)}}
