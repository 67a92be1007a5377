"""Files written as a whole, and a folder's lock: one holder at a time, and none where the file system has no locks."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from l2obench.bench.store.files import LOCK, lock_folder, write_atomically
from l2obench.bench.store.run_folder import RunFolder

WRITERS, TURNS = 4, 10


def test_one_at_a_time_holds_a_folder(tmp_path: Path) -> None:
    """Every writer reads a number, waits and writes it back increased by one: without the lock, turns are lost."""
    number = tmp_path / "number"
    number.write_text("0")

    def count() -> None:
        for _ in range(TURNS):
            with lock_folder(tmp_path):
                value = int(number.read_text())
                time.sleep(0.001)
                number.write_text(str(value + 1))

    threads = [threading.Thread(target=count) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(number.read_text()) == WRITERS * TURNS


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    run = RunFolder(tmp_path / "run")
    run.begin({"suite": "test"})
    assert run.manifest["suite"] == "test"


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), lock_folder(tmp_path):
        raise RuntimeError("inside")
    with lock_folder(tmp_path):
        pass


def test_a_folder_in_which_another_process_begins_is_no_conflict(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / ".manifest.part").touch()
    RunFolder(tmp_path).require_run_or_empty()


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_the_users_umask_decides_who_may_read(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
