"""How long a matrix takes on many workers: `python -m l2obench.bench.studies.forecast SUITE --copies 1000`.

Every cell of the suite is computed once, serially, with a stopwatch. Then small cells go through a Dask cluster of two
workers, and the processor time that this process spends on each (it plans, schedules, collects and writes) is what one
costs where nothing can share the load. From both, a matrix of many such suites is simulated event by event: a worker
whose answer has arrived waits until the coordinator has come to it.
"""

import heapq
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, load_suite
from l2obench.bench.process import set_up_process
from l2obench.bench.run.cell import describe, make_chain
from l2obench.bench.run.executors.base import Executor, run_chains
from l2obench.bench.run.executors.dask import DaskExecutor
from l2obench.bench.run.executors.serial import SerialExecutor
from l2obench.bench.run.work import Answer
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic

WORKERS = (1, 10, 100, 1_000, 10_000)


class Stopwatch(SerialExecutor):
    """The serial executor with the processor time of each assignment: other work on the machine does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def finished(self) -> Answer:
        began = time.process_time()
        answer = super().finished()
        self.seconds.append(time.process_time() - began)
        return answer


def measure_cells(cells: Sequence[Cell]) -> list[list[float]]:
    """Processor seconds of each cell's assignments, one after the other in this process.

    Args:
        cells: those of a suite.

    Returns:
        For each cell the seconds of its assignments, in the order in which they follow one another.
    """
    seconds = []
    for cell in cells:
        with Stopwatch() as stopwatch:
            _compute([cell], stopwatch)
        seconds.append(stopwatch.seconds)
    return seconds


def measure_overhead(count: int) -> float:
    """Processor seconds of this process for each assignment that Dask workers do for it, scheduler included.

    Args:
        count: small cells to measure it on; the mean is over them.
    """
    cells = [Cell(Quadratic(dim=1, horizon=steps), SGD(), "default", 1, 1) for steps in range(1, count + 1)]
    with DaskExecutor(processes=2) as executor:
        _compute(cells[:10], executor)  # workers are started, and import what they need
        began = time.process_time()
        _compute(cells, executor)
        return (time.process_time() - began) / count


def simulate(chains: Sequence[Sequence[float]], workers: int, overhead: float) -> float:
    """Seconds until all chains of assignments are done by so many workers under one coordinator.

    The coordinator hands out and takes back one assignment in `overhead` seconds, and does one at a time.

    Args:
        chains: seconds of each chain's assignments, which follow one another.
        workers: how many.
        overhead: seconds of the coordinator for each assignment.

    Example:
        >>> simulate([[1.0], [1.0], [2.0]], workers=2, overhead=0.0)
        3.0
    """
    waiting = iter(chains)
    answers: list[tuple[float, int, list[float]]] = [(0.0, number, []) for number in range(workers)]
    coordinator = end = 0.0
    while answers:
        arrived, number, rest = heapq.heappop(answers)
        end = max(end, arrived)
        rest = rest or list(next(waiting, []))
        if rest:
            coordinator = max(coordinator, arrived) + overhead
            heapq.heappush(answers, (coordinator + rest[0], number, rest[1:]))
    return end


def _compute(cells: Sequence[Cell], executor: Executor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.begin({})
        for cell, rows in run_chains(executor, ((cell, make_chain(cell, run, {}, RunOptions())) for cell in cells)):
            for row in rows:
                row.pop("pictures", None)
                row.pop("heldout_curves", None)
            run.write("cells", cell_name(*cell.key), describe(cell, RunOptions()), rows)


def main(
    suite: Annotated[str, typer.Argument(help="Suite whose cells are measured.")] = "quick",
    copies: Annotated[int, typer.Option(min=1, help="Number of copies of the suite in the matrix.")] = 1000,
    tiny: Annotated[int, typer.Option(min=1, help="Number of small cells that measure the overhead.")] = 300,
) -> None:
    """Forecast how long a matrix takes on many workers, from measured cells and a simulated scheduler."""
    set_up_process()
    cells = load_suite(suite).cells()
    seconds = measure_cells(cells)
    overhead = measure_overhead(tiny)
    total = sum(map(sum, seconds)) * copies
    print(f"{len(cells)} cells: {sum(map(sum, seconds)):.0f} s in all, the longest {max(map(sum, seconds)):.1f} s")
    print(f"coordinator and scheduler: {overhead * 1000:.1f} ms for each assignment")
    print(f"{copies * len(cells):,} cells, {total / 3600:,.0f} core hours:")
    for workers in WORKERS:
        took = simulate(seconds * copies, workers, overhead)
        print(f"{workers:6,} workers: {took / 3600:10.2f} h, workers busy {total / (workers * took):4.0%}")


if __name__ == "__main__":
    typer.run(main)
