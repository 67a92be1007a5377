"""The command in a process that can be killed, without the seconds that a new interpreter takes to import torch."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  # what commands import when they are asked for, once for all children
import numpy as np
import pandas as pd

import l2obench.tasks.quadratic  # noqa: F401


def forked(
    *arguments: str, folder: Path, first: Callable[[], object] = lambda: None, printed: Path | None = None
) -> int:
    """A child of this process that runs the command in a folder.

    `first` is called in the child before anything else: to limit it, to make it somebody else. What it writes goes to
    files `out` and `err` of the folder, or of `printed`.
    """
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.chdir(folder)
        for descriptor, name in ((1, "out"), (2, "err")):
            path = (printed or folder) / name
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        # Not closed with their objects, which the command exchanges for its own.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        # A process that was started in the background of a shell has it that SIGINT is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        first()
        sys.argv = ["l2obench", *arguments]
        from l2obench.bench.commands.cli import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return 0


def before_file(pattern: str, number: int, action: Callable[[], object]) -> None:
    """In a child: act before the so many-th file whose path fits the pattern is put in its place."""
    put, count = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal count
        if fnmatch(str(target), pattern):
            count += 1
            if count == number:
                action()
        put(source, target)

    os.replace = replace  # type: ignore[assignment]


def die() -> None:
    """As by `kill -9` from outside: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def ended(pid: int) -> int:
    """Wait for a child: its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def command(*arguments: str, folder: Path, first: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """Run the command to its end: its exit code, and what it complained of."""
    code = ended(forked(*arguments, folder=folder, first=first))
    return code, (folder / "err").read_text()


def losses(folder: Path) -> dict[tuple[object, ...], list[float]]:
    """What a run found, without its clocks."""
    frame = pd.read_parquet(folder / "cells")
    keys = ["task", "optimizer", "track", "hyperparameters", "seed"]
    return {tuple(row[key] for key in keys): list(row["loss"]) for row in frame.to_dict("records")}


def assert_same(first: Path, second: Path) -> None:
    """Two runs with the same cells and, to the last bit, the same losses."""
    one, other = losses(first), losses(second)
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_array_equal(values, other[key])
