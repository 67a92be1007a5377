"""MNIST-1D: the package's own data, made without touching the global generators, kept once made."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mnist1d.data import make_dataset

from l2obench.tasks.data import mnist1d as source
from l2obench.tasks.data.folder import DataMissing
from l2obench.tasks.data.mnist1d import mnist1d


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The package's data at a fiftieth of their number, in a fresh folder; counts how often they are made."""
    made: list[int] = []

    def few() -> dict[str, np.ndarray]:
        made.append(1)
        from mnist1d import get_dataset_args

        args = get_dataset_args()
        args.num_samples = 100
        return make_dataset(args)

    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("mnist1d.data.make_dataset", few)
    return made


def test_it_is_the_packages_data(quick: list[int]) -> None:
    train, test = mnist1d("train"), mnist1d("test")
    assert quick == [1]  # the second split was kept
    from mnist1d import get_dataset_args

    args = get_dataset_args()
    args.num_samples = 100
    expected = make_dataset(args)
    for found, suffix in ((train, ""), (test, "_test")):
        torch.testing.assert_close(found.inputs, torch.from_numpy(expected[f"x{suffix}"]).float())
        assert found.labels.tolist() == expected[f"y{suffix}"].tolist()


def test_the_global_generators_stay_as_they_were(quick: list[int]) -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    mnist1d("train")
    after = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    assert after == (random.random(), np.random.rand())  # noqa: NPY002
    assert quick == [1]


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(DataMissing, match="pip install mnist1d"):
        source.mnist1d_sources()
