"""A FIFO, a device, a directory or a loop of links where a file is expected: one line at once, nothing is touched."""

import os
import shutil
from pathlib import Path

import pytest

from tests.hostile.conftest import RUN, Command

KINDS = ["fifo", "device", "directory", "loop"]
TRAIN = ["train", "lstm[hidden=2]", "-t", "quadratic[dim=2,horizon=4]", "--trajectories", "1", "--unroll", "2"]


def make(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("x.toml", ["run", "x.toml"]),
        ("x.toml", ["train-suite", "x.toml"]),
        ("x.toml", ["info", "x.toml"]),
        ("x.py", [*RUN, "-o", "./x.py:Mine"]),
        ("x.safetensors", ["run", "-t", "quadratic", "-o", "lstm[checkpoint=x.safetensors]"]),
        ("x.safetensors", ["info", "lstm[checkpoint=x.safetensors]"]),
        ("x.safetensors", ["import-weights", "x.safetensors", "y.safetensors"]),
        ("t/state.safetensors", [*TRAIN, "--out", "t"]),
        ("x.parquet", ["check", "x.parquet", "x.parquet"]),
    ],
    ids=["suite", "trained", "described", "plugin", "checkpoint", "facts", "weights", "state", "gate"],
)
def test_what_is_given_by_its_path(
    command: Command, tmp_path: Path, kind: str, name: str, arguments: list[str]
) -> None:
    make(tmp_path / name, kind)
    answer = command(*arguments)
    answer.is_one_line(Path(name).name if name != "x.parquet" else "x")
    assert [path.name for path in tmp_path.iterdir()] == [name.partition("/")[0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["manifest", "cells", "tuning", "timing"])
def test_what_lies_in_a_run(command: Command, tmp_path: Path, good_run: Path, kind: str, part: str) -> None:
    shutil.copytree(good_run, tmp_path / "it")
    (tmp_path / "it" / "pictures").mkdir(exist_ok=True)
    path = next((tmp_path / "it" / part).glob("*.parquet")) if part != "manifest" else tmp_path / "it" / "manifest.json"
    make(path, kind)
    others = {file: file.read_bytes() for file in (tmp_path / "it").rglob("*") if file.is_file() and file != path}
    command("report", "it").is_one_line("it")
    if part != "timing":
        command("targets", "it").is_one_line("it") if part != "tuning" else None
    if part in ("cells", "manifest"):
        command("check", "it", "it").is_one_line("it")
        command(*RUN, "--out", "it").is_one_line("it")
    assert {file: file.read_bytes() for file in others} == others


def test_output_into_a_fifo_that_nobody_reads(command: Command, tmp_path: Path, good_run: Path) -> None:
    os.mkfifo(tmp_path / "o")
    for option in ("--junit", "--markdown"):
        command("check", str(good_run), str(good_run), option, "o").is_one_line("o cannot be written")
    command("targets", str(good_run), "--out", "o").is_one_line("o: it must be a regular file, got a FIFO")


def test_a_source_file_beside_a_plugin_may_be_anything(command: Command, tmp_path: Path) -> None:
    """Its hash is part of the plugin's; it is only read where it is a file, and need not be Python."""
    os.mkfifo(tmp_path / "beside.py")
    (tmp_path / "broken.py").write_bytes(b"print 'of Python 2'\x00\xff")
    text = "from l2obench.optimizers.designed.sgd import SGD\ntry:\n    import broken\nexcept Exception:\n    pass\n"
    text += "def later():\n    import beside\nclass Mine(SGD):\n    pass\n"
    (tmp_path / "x.py").write_text(text)
    answer = command("run", "-t", "quadratic[horizon=5]", "-o", "./x.py:Mine", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
