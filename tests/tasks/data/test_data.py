"""Data: real digits from the wheel, split for good; MNIST checked by its SHA-256 and never replaced silently."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import l2obench.tasks.data.digits
import l2obench.tasks.data.mnist
from l2obench.tasks.data.cache import read_or_make
from l2obench.tasks.data.digits import digits
from l2obench.tasks.data.folder import DataMissing
from l2obench.tasks.data.mnist import MNIST_SHA256, fetch_mnist


def test_embedded_digits_are_split_and_shuffled() -> None:
    train, test = digits("mnist5k", "train"), digits("mnist5k", "test")
    assert (len(train.labels), len(test.labels)) == (4000, 1000)
    assert train.inputs.shape == (4000, 784)
    assert (float(train.inputs.min()), float(train.inputs.max())) == (0, 1)
    together = torch.cat([train.labels, test.labels])
    assert torch.bincount(together).tolist() == [500] * 10
    assert len(set(test.labels[:50].tolist())) > 5
    rows = {image.numpy().tobytes() for image in train.inputs}
    shared = sum(image.numpy().tobytes() in rows for image in test.inputs)
    assert shared == 0


def test_parsed_digits_are_cached_and_the_cache_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digits("mnist5k", "test")
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    parsed = digits("mnist5k", "test")
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    l2obench.tasks.data.digits._digits.cache_clear()
    cached = digits("mnist5k", "test")
    for found in (parsed, cached):
        torch.testing.assert_close(found.inputs, expected.inputs, rtol=0, atol=0)
        torch.testing.assert_close(found.labels, expected.labels)


def test_a_damaged_cache_is_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    digits("mnist5k", "test")
    (cache,) = tmp_path.iterdir()
    cache.write_bytes(cache.read_bytes()[:1000])
    l2obench.tasks.data.digits._digits.cache_clear()
    assert len(digits("mnist5k", "test").labels) == 1000


def test_a_cache_that_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "it.safetensors")
    for _ in range(2):
        found = read_or_make(tmp_path / "it.safetensors", lambda: {"x": torch.ones(2)})
        assert found["x"].tolist() == [1, 1]
    assert (tmp_path / "it.safetensors").is_file()


def test_a_cache_that_cannot_be_written_is_made_each_time() -> None:
    assert read_or_make(Path("/dev/null/it.safetensors"), lambda: {"x": torch.ones(2)})["x"].tolist() == [1, 1]


def test_missing_mnist_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="l2obench prepare mnist"):
        digits("mnist", "train")


def write_mnist(folder: Path) -> dict[str, str]:
    """Four files in MNIST's own format, with a few random digits, and their SHA-256."""
    random = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    sums = {}
    for name in MNIST_SHA256:
        count = 30 if name.startswith("train") else 10
        if "images" in name:
            header, body = struct.pack(">IIII", 2051, count, 28, 28), random.integers(0, 256, count * 784, np.uint8)
        else:
            header, body = struct.pack(">II", 2049, count), random.integers(0, 10, count, np.uint8)
        content = gzip.compress(header + body.tobytes())
        (raw / name).write_bytes(content)
        sums[name] = hashlib.sha256(content).hexdigest()
    return sums


def test_mnist_is_read_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(l2obench.tasks.data.mnist, "MNIST_SHA256", write_mnist(tmp_path))
    train = digits("mnist", "train")
    assert train.inputs.shape == (30, 784)
    assert train.labels.shape == (30,)
    assert digits("mnist", "test").inputs.shape == (10, 784)
    assert 0 <= float(train.inputs.min()) < float(train.inputs.max()) <= 1


def test_a_file_that_is_not_mnists_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2OBENCH_DATA", str(tmp_path))
    write_mnist(tmp_path)
    with pytest.raises(DataMissing, match="SHA-256"):
        digits("mnist", "test")


def test_a_download_that_fails_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataMissing, match="could not be downloaded"):
        fetch_mnist(tmp_path)
