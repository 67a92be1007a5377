"""Files from outside: only regular ones are read, up to a limit, and everything else is refused without waiting."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.foundation.regular_file import FileRefused, read_regular_file


def refusal(path: Path, max_bytes: int = 10) -> str:
    with pytest.raises(FileRefused) as caught:
        read_regular_file(path, max_bytes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(size=st.integers(0, 20), limit=st.integers(0, 20))
def test_a_file_is_read_whole_up_to_the_limit_and_refused_above_it(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / "it"
    path.write_bytes(b"x" * size)
    if size <= limit:
        assert read_regular_file(path, limit) == b"x" * size
    else:
        assert f"at most {limit} bytes, got {size}" in refusal(path, limit)


def test_a_fifo_that_nobody_writes_to_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "must be a regular file, got a FIFO" in refusal(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    assert "got a FIFO" in refusal(tmp_path / "link")


def test_directories_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    assert "got a directory" in refusal(tmp_path)
    assert "got a character device" in refusal(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        assert "got a socket" in refusal(tmp_path / "socket")


def test_a_file_whose_size_says_nothing_is_read_no_further_than_the_limit() -> None:
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("there is no /proc on this system")
    assert path.stat().st_size == 0
    assert "at most 10 bytes" in refusal(path)


def test_what_is_missing_or_cannot_be_a_name_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in refusal(tmp_path / "nowhere")
    assert "cannot be read" in refusal(tmp_path / "nul\0nul")
    assert "cannot be read" in refusal(tmp_path / ("x" * 5000))


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "it")
    assert read_regular_file(tmp_path / "link", 10) == b"abc"
