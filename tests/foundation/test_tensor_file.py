"""Safetensors files from outside: read the same each time, or refused in one line; nothing is unpickled."""

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from l2obench.foundation.regular_file import FileRefused
from l2obench.foundation.tensor_file import parse_tensor_file, read_tensor_file, require_tensors
from l2obench.foundation.tensor_metadata import MetadataError, TensorFileError, parse_metadata

TENSORS = {name: torch.arange(3.0) + k for k, name in enumerate("dbac")}


def encoded(metadata: object = None) -> bytes:
    return save(TENSORS, metadata={"ours": json.dumps({"format": 1} if metadata is None else metadata)})


def with_header(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def test_tensors_metadata_and_hash_come_back_in_the_order_of_names(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    path.write_bytes(encoded())
    file = read_tensor_file(path, max_bytes=10_000, metadata_key="ours")
    assert list(file.tensors) == ["a", "b", "c", "d"]
    assert all(torch.equal(file.tensors[name], TENSORS[name]) for name in TENSORS)
    assert file.metadata == {"format": 1} == parse_metadata(encoded(), "ours")
    assert file.sha256 == hashlib.sha256(encoded()).hexdigest()
    assert read_tensor_file(path, max_bytes=10_000).metadata == {}


def test_limits_hold_before_anything_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    path.write_bytes(encoded())
    with pytest.raises(FileRefused, match="at most 100 bytes"):
        read_tensor_file(path, max_bytes=100)
    with pytest.raises(TensorFileError, match="its header claims"):
        parse_tensor_file(encoded(), max_header_bytes=100)
    with pytest.raises(TensorFileError, match="its header claims 4,611,686,018,427,387,904 bytes"):
        parse_tensor_file(struct.pack("<Q", 2**62) + b"{}")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileRefused, match="FIFO"):
        read_tensor_file(tmp_path / "fifo", max_bytes=100)


@pytest.mark.parametrize(
    "metadata",
    ['{"name": "\\ud800"}', '{"\\udfff": 1}', "[]", "1", "{", "[" * 100_000, ""],
    ids=["half a pair", "half a pair as key", "a list", "a number", "cut", "deep", "empty"],
)
def test_metadata_that_are_no_object_of_valid_text_are_refused(metadata: str) -> None:
    with pytest.raises(MetadataError, match="missing or damaged"):
        parse_tensor_file(save(TENSORS, metadata={"ours": metadata}), "ours")


@pytest.mark.parametrize(
    "header", [b"{}", b"[]", b'{"__metadata__": 3}', b'{"__metadata__": {"ours": 3}}', b"\xff\xfe", b"", b"[" * 100_000]
)
def test_headers_without_our_metadata_are_refused(header: bytes) -> None:
    with pytest.raises(MetadataError, match="missing or damaged"):
        parse_metadata(with_header(header), "ours")


def test_text_beyond_ascii_is_no_half_pair() -> None:
    assert parse_tensor_file(encoded({"name": "σ 😀"}), "ours").metadata == {"name": "σ 😀"}


@given(cut=st.integers(0, 400))
def test_every_truncated_file_is_refused_in_one_line(cut: int) -> None:
    content = encoded()
    with pytest.raises(TensorFileError) as caught:
        parse_tensor_file(content[: cut % len(content)], "ours")
    assert "\n" not in str(caught.value)


@given(position=st.integers(0, 1000), value=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_gives_tensors(position: int, value: int) -> None:
    content = bytearray(encoded())
    content[position % len(content)] = value
    try:
        file = parse_tensor_file(bytes(content), "ours")
    except TensorFileError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in file.tensors.values())


def test_pickle_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    with pytest.raises(TensorFileError):
        parse_tensor_file(pickle.dumps(Bomb()))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": torch.ones(2)}, r"a must be torch.float32 \[3\], got torch.float32 \[2\]"),
        ({"a": torch.ones(3).double()}, "got torch.float64"),
        ({"a": torch.tensor([1.0, float("inf"), 0.0])}, "a must be finite"),
        ({"e": torch.ones(3)}, r"\['e'\] missing or unknown"),
    ],
)
def test_tensors_that_are_not_the_expected_ones_are_refused(change: dict[str, torch.Tensor], message: str) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    require_tensors(TENSORS, shapes)
    with pytest.raises(TensorFileError, match=message):
        require_tensors(TENSORS | change, shapes)
