"""A disk that is full, a folder that may not be written, memory that is not there: one line or a row, nothing lost."""

import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.processes import assert_same, command

pytestmark = pytest.mark.slow
RUN = ["run", "-t", "quadratic[horizon=200]", "-o", "sgd", "-o", "adam", "--seeds", "40"]
TRAIN = ["train", "lstm[hidden=6,output_scale=1,preprocessing=none]", "-t", "quadratic[dim=4]", "--functions", "4"]
TRAIN += ["--trajectories", "4", "--validate-every", "1", "--validation-functions", "4"]


def one_line(errors: str, *words: str) -> None:
    assert errors.startswith("l2obench: ")
    assert errors.count("\n") == 1
    for word in words:
        assert word in errors


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False).returncode:
        pytest.skip("only root may mount, and not everywhere")
    yield folder
    subprocess.run(["umount", folder], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("arguments", "size"), [(RUN, "128k"), (TRAIN, "32k")], ids=["run", "train"])
def test_a_full_disk(disk: Path, tmp_path: Path, arguments: list[str], size: str) -> None:
    remount(disk, f"size={size}")
    code, errors = command(*arguments, "--out", str(disk / "it"), folder=tmp_path)
    assert code == 2, errors
    one_line(errors, "cannot be written", "No space left on device")
    kept = files(disk)
    assert not [path for path in kept if path.suffix == ".part"]
    remount(disk, "size=64m")
    code, errors = command(*arguments, "--out", str(disk / "it"), folder=tmp_path)
    assert code == 0, errors
    assert all(path.read_bytes() == content for path, content in kept.items() if path.parent.name == "cells")


@pytest.mark.parametrize("arguments", [RUN, TRAIN], ids=["run", "train"])
def test_a_read_only_folder(disk: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert command(*arguments, "--out", str(disk / "it"), folder=tmp_path)[0] == 0
    before = files(disk)
    remount(disk, "ro")
    code, errors = command(*arguments, "--force", "--out", str(disk / "it"), folder=tmp_path)
    assert code == 2, errors
    one_line(errors, "cannot be written", "Read-only file system")
    assert files(disk) == before


def test_a_quota(tmp_path: Path) -> None:
    """No file may be larger than 20 kB: the first cell does not fit."""
    code, errors = command(
        *RUN, "--out", "it", folder=tmp_path, first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    )
    assert code == 2
    one_line(errors, "cannot be written", "File too large")
    assert command(*RUN, "--out", "it", folder=tmp_path)[0] == 0
    assert command(*RUN, "--out", "undisturbed", folder=tmp_path)[0] == 0
    assert_same(tmp_path / "undisturbed", tmp_path / "it")


STRANGE = """
import os, signal, torch
from l2obench.optimizers.designed.sgd import SGD
class Greedy(SGD):
    def update_tensor(self, grad, state, param):
        return torch.zeros(10**15), state
class Starved(SGD):
    def update_tensor(self, grad, state, param):
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory runs out
"""


def test_memory_that_is_not_there_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text(STRANGE)
    rules = ["-o", "strange.Greedy", "-o", "strange.Starved", "-o", "sgd"]
    code, errors = command("run", "-t", "quadratic[horizon=5]", *rules, "--seeds", "2", "--out", "it", folder=tmp_path)
    assert code == 3, errors
    frame = pd.read_parquet(tmp_path / "it" / "cells").set_index("optimizer")
    assert set(frame.loc["sgd", "status"]) == {"ok"}
    assert "allocate" in frame.loc["strange.Greedy", "reason"].iloc[0]
    assert signal.SIGKILL.name in frame.loc["strange.Starved", "reason"].iloc[0]
