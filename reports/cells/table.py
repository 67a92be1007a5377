"""Rows of results by task and cell, as arrays.

pandas takes some 50 µs for the smallest operation. With a few hundred of them for each cell, a report of 10,000 cells
took minutes.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.cells.columns import Columns, Floats
from l2obench.reports.cells.places import Places, count, nest, split

CELL = ("task", "optimizer", "track")


class CellTable(Columns):
    """Rows of the kind `cells`, of one run or of several with a column `run`.

    Args:
        frame: the rows; it is not changed, and must not be changed while this object is used.

    Example:
        >>> frame = pd.DataFrame({"task": ["bowl", "bowl"], "optimizer": ["sgd", "adam"], "track": ["tuned", "tuned"]})
        >>> table = CellTable(frame.assign(seed=0, learned=False, status=["ok", "error"], final_loss=[0.5, None]))
        >>> [(cell.optimizer, cell.losses.tolist()) for task in table.tasks for cell in task.cells]
        [('sgd', [0.5]), ('adam', [inf])]
    """

    @cached_property
    def tasks(self) -> list["TaskRows"]:
        """The rows of each task, runs kept apart, in the order of their first rows."""
        return [TaskRows(self, places) for places in split(self.number_groups("task"))]

    @cached_property
    def cells(self) -> list["CellRows"]:
        """The rows of each cell, in the order of their first rows; those of a task are the task's own."""
        return sorted((cell for task in self.tasks for cell in task.cells), key=lambda cell: cell.start)

    @cached_property
    def cell_numbers(self) -> NDArray[np.intp]:
        """The number of each row's cell `[rows]`."""
        return self.number_groups(*CELL)


class CellRows:
    """Rows of one cell, or of several cells of one task.

    Args:
        table: that has them.
        places: where they are.
    """

    def __init__(self, table: CellTable, places: Places) -> None:
        self.table, self.places = table, places
        self.start = int(places.start if isinstance(places, slice) else places[0] if len(places) else -1)

    def __len__(self) -> int:
        return count(self.places)

    def values(self, name: str) -> NDArray[Any]:
        """A column as it is `[rows]`; None where an object is missing.

        Args:
            name: of the column.
        """
        return self.table.values(name)[self.places]

    def numbers(self, name: str) -> Floats:
        """A column as numbers `[rows]`; NaN where one is missing.

        Args:
            name: of the column.
        """
        return self.table.numbers(name)[self.places]

    def first(self, name: str) -> Any:
        """The value of the first row in a column.

        Args:
            name: of the column.
        """
        return self.table.values(name)[self.start]

    def number(self, name: str) -> float:
        """The number of the first row in a column.

        Args:
            name: of the column.
        """
        return float(self.table.numbers(name)[self.start])

    def largest(self, name: str) -> float:
        """The largest number in a column; NaN where there is none.

        Args:
            name: of the column.
        """
        found = self.numbers(name)
        known = found[~np.isnan(found)]
        return float(known.max()) if known.size else np.nan

    def key(self, *names: str) -> dict[str, Any]:
        """What these columns have in the first row, after `run` where there are several runs.

        Args:
            names: of columns.
        """
        return {name: self.first(name) for name in [*(["run"] if "run" in self.table else []), *names]}

    @cached_property
    def task(self) -> str:
        """The task's identity."""
        return str(self.first("task"))

    @cached_property
    def optimizer(self) -> str:
        """The optimizer's identity."""
        return str(self.first("optimizer"))

    @cached_property
    def track(self) -> str:
        """The track of the first row."""
        return str(self.first("track"))

    @cached_property
    def seeds(self) -> NDArray[np.int64]:
        """Seeds `[rows]`."""
        return np.asarray(self.values("seed"))

    @cached_property
    def seeds_rise(self) -> bool:
        """Whether every seed is larger than the one before it."""
        return bool((self.seeds[1:] > self.seeds[:-1]).all())

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Rows whose status is ok `[rows]`."""
        return self.table.ok[self.places]

    @cached_property
    def failures(self) -> int:
        """The number of seeds whose status is not ok."""
        return len(self) - int(self.ok.sum())

    @cached_property
    def learned(self) -> bool:
        """Whether the optimizer is a learned one."""
        return bool(self.table.learned[self.places].any())

    @cached_property
    def losses(self) -> Floats:
        """Final losses `[rows]`; infinite for a seed that failed."""
        return self.table.losses[self.places]

    @cached_property
    def mean_loss(self) -> float:
        """The mean final loss; infinite where a seed failed."""
        return float(self.losses.mean())

    @cached_property
    def uses(self) -> str | None:
        """The class of the optimizer: what it looks at; None where it is not known."""
        found = self.first("uses") if "uses" in self.table else None
        return found if isinstance(found, str) else None

    @cached_property
    def floor(self) -> float:
        """The highest floor that is recorded; NaN where there is none."""
        return self.largest("floor") if "floor" in self.table else np.nan

    @cached_property
    def trajectories(self) -> list[Any]:
        """Losses over the steps, one a seed; None where a seed has none."""
        return list(self.values("loss"))

    @cached_property
    def step_seconds(self) -> tuple[float, float]:
        """Seconds of an update and of a whole step (gradient and update); NaN where nothing was timed."""
        update = self.number("update_seconds")
        return update, update + self.number("grad_seconds")

    def take(self, positions: NDArray[np.intp]) -> "CellRows":
        """Some of the rows.

        Args:
            positions: of rows, among these.
        """
        every = np.array_equal(positions, np.arange(len(self)))
        return self if every else CellRows(self.table, nest(self.places, positions))


class TaskRows(CellRows):
    """Rows of one task in one run."""

    @cached_property
    def cells(self) -> list[CellRows]:
        """The rows of each optimizer in each track, in the order of their first rows."""
        numbers = self.table.cell_numbers[self.places]
        return [CellRows(self.table, nest(self.places, places)) for places in split(numbers)]

    @cached_property
    def learned_cells(self) -> list[CellRows]:
        """Those of learned optimizers."""
        return [cell for cell in self.cells if cell.learned]

    @cached_property
    def learned_optimizers(self) -> list[CellRows]:
        """The rows of each learned optimizer, all tracks together."""
        return [join_cells(cells) for cells in by_optimizer(self.learned_cells).values()]

    @cached_property
    def designed(self) -> dict[str, list[CellRows]]:
        """The cells of each hand-designed optimizer."""
        return by_optimizer(cell for cell in self.cells if not cell.learned)

    @cached_property
    def baselines(self) -> list[CellRows]:
        """The rows of each hand-designed optimizer in each track, of each optimizer the tuned ones first."""
        return [cell for cells in self.designed.values() for cell in sorted(cells, key=_is_untuned)]


def _is_untuned(cell: CellRows) -> bool:
    return not is_tuned(cell.track)


def table_of_cells(cells: pd.DataFrame | CellTable) -> CellTable:
    """Give rows as a table of cells.

    Args:
        cells: rows of the kind `cells`, or a table of them.
    """
    return cells if isinstance(cells, CellTable) else CellTable(cells)


def learned_of(table: CellTable) -> list[CellRows]:
    """The first cell of each learned optimizer in each run, in their order.

    Args:
        table: of all cells.
    """
    found: dict[tuple[Any, ...], CellRows] = {}
    for task in table.tasks:
        for cell in task.learned_cells:
            found.setdefault(tuple(cell.key("optimizer").values()), cell)
    return list(found.values())


def by_optimizer(cells: Iterable[CellRows]) -> dict[str, list[CellRows]]:
    """Collect the cells of each optimizer, in their order.

    Args:
        cells: of one task.
    """
    found: dict[str, list[CellRows]] = {}
    for cell in cells:
        found.setdefault(cell.optimizer, []).append(cell)
    return found


def join_cells(cells: list[CellRows]) -> CellRows:
    """The rows of several cells of one table, in the table's order.

    Args:
        cells: at least one.
    """
    if len(cells) == 1:
        return cells[0]
    table = cells[0].table
    every = np.arange(len(table))
    return CellRows(table, np.sort(np.concatenate([every[cell.places] for cell in cells])))
