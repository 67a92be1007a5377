"""How the cost of a large matrix grows around its rollouts: planning, writing, continuing, packing, reporting.

The rows of one real cell stand for those of all others, so nothing is rolled out. The times of the smaller matrix
forecast those of the larger one, which is then measured.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import l2obench
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, Suite, make_suite
from l2obench.bench.run.cell import Rows, describe
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder

OPTIMIZERS, SEEDS, STEPS = 20, 10, 10
# A suite has at most 100,000 cells. So a million on a hundred machines are runs of ten thousand, one for each.
SMALL, LARGE = 1_000, 10_000
OPTIONS = RunOptions(timing=False)


def make_matrix(count: int) -> Suite:
    """A suite of `count` cells: twenty rates of SGD on quadratics that differ in the scale of their start."""
    tasks = [{"task": f"quadratic[horizon={STEPS},scale={1 + k / 1000:.3f}]"} for k in range(count // OPTIMIZERS)]
    rates = [f"sgd[lr={0.0001 * (k + 1):.4f}]" for k in range(OPTIMIZERS)]
    return make_suite("grown", {"optimizers": rates, "tasks": tasks, "seeds": SEEDS, "tracks": ["default"]})


def measure_matrix(count: int, folder: Path) -> dict[str, float]:
    """The processor seconds of each part, for a matrix of `count` cells.

    Args:
        count: cells.
        folder: where the run goes; it does not exist.
    """
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def clocked(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        seconds[name] = time.process_time() - began

    def resume() -> None:
        found = Runner(RunFolder(folder), cells, OPTIONS).execute({"suite": "grown"})
        assert (found.computed, found.already_computed) == (0, len(cells))

    with clocked("planned"):
        cells = make_matrix(count).cells()
    run, rows = RunFolder(folder), computed_rows(cells[0], folder.with_name("one"))
    run.begin(RunFolder(folder.with_name("one")).manifest)
    with clocked("written"):
        for number, cell in enumerate(cells):
            run.write("cells", cell_name(*cell.key), describe(cell, OPTIONS), stand_in(cell, rows, number))
    with clocked("continued"):
        resume()
    with clocked("packed"):
        assert run.pack() == len(cells)
    with clocked("continued, packed"):
        resume()
    with clocked("reported"), contextlib.redirect_stdout(io.StringIO()):
        l2obench.report(folder)
    return seconds


def computed_rows(cell: Cell, folder: Path) -> Rows:
    """The rows of a cell that is run for real, into a folder of its own."""
    found: list[Rows] = []
    Runner(RunFolder(folder), [cell], OPTIONS, on_cell=lambda _, rows, __: found.append(rows)).execute({"suite": "one"})
    return found[0]


def stand_in(cell: Cell, rows: Rows, number: int) -> Rows:
    """Rows of another cell: its names, a hash for each task and losses for each optimizer."""
    task, optimizer, track = cell.key
    about: dict[str, Any] = {"task": task, "optimizer": optimizer, "track": track}
    scale, mark = 1 + 0.01 * (number % OPTIMIZERS), f"{number // OPTIMIZERS:06x}"
    return [
        row
        | about
        | {
            "loss": [row["loss"][0], *(scale * value for value in row["loss"][1:])],
            "final_loss": scale * row["final_loss"],
            "function_sha256": mark + row["function_sha256"][len(mark) :],
        }
        for row in rows
    ]


def compare_sizes(
    measure: Callable[..., dict[str, float]] = measure_matrix,
    sizes: tuple[int, int] = (SMALL, LARGE),
) -> pd.DataFrame:
    """What the smaller matrix forecasts for the larger one, what that takes, and what a million cells would take."""
    small, large = sizes
    with tempfile.TemporaryDirectory() as folder:
        few, many = (measure(count, Path(folder) / str(count) / "run") for count in sizes)
    return pd.DataFrame([_row(name, small, large, few[name], many[name]) for name in few])


def _row(name: str, small: int, large: int, few: float, many: float) -> dict[str, str]:
    forecast = few * large / small
    return {
        "what": name,
        "cells": f"{small:,} → {large:,}",
        "CPU seconds": f"{few:.3g} → {many:.3g}",
        "forecast": f"{forecast:.3g}",
        "measured ÷ forecast": f"{many / forecast:.2f}",
        "ms a cell": f"{1e3 * many / large:.2g}",
        "10⁶ cells on 100 machines, s on each": f"{many / large * 1e4:.3g}",
    }
