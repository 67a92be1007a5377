"""The command in a process that can be killed, without the seconds that a new interpreter takes to import torch."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  # what commands import when they are asked for, once for all children
import numpy as np
import pandas as pd

import l2obench.tasks.quadratic  # noqa: F401


def forked(*arguments: str, folder: Path, first: Callable[[], object] = lambda: None) -> int:
    """A child of this process that runs the command in a folder; what it writes goes to `out` and `err` there.

    `first` is called in the child before anything else: to limit it, to make it somebody else.
    """
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.chdir(folder)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
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
