"""What a run logs with `--log`: of each cell its final loss, failures and seconds, and its learning curve."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from l2obench.bench.config.suite import Cell
from l2obench.bench.loggers.choice import Loggers
from l2obench.bench.stats import interquartile_mean
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder

# As many as a chart of the report has: more cannot be told apart.
POINTS = 150


class RunLog:
    """Logs the cells of a run, each once.

    Args:
        tools: as `read_tools` gives them; none: nothing is logged.
        folder: of the run. Nothing is written there before the first cell is.
        about: what the manifest says of this start: the suite and the command.
        fresh: cells are computed again, so that nothing that was logged before counts.
        warn: called with a line where a tool fails.
    """

    def __init__(
        self,
        tools: Sequence[str],
        folder: Path,
        about: Mapping[str, str],
        fresh: bool,
        warn: Callable[[str], Any],
    ) -> None:
        self._tools, self._folder, self._about, self._fresh, self._warn = tools, folder, about, fresh, warn
        self._logged: set[tuple[str, str, str]] = set()

    @cached_property
    def _logger(self) -> Loggers:
        """The tools, opened when the first cell is there: the folder is then a run's."""
        logger = Loggers(self._tools, self._folder, self._folder.name, fresh=self._fresh, warn=self._warn)
        logger.log_hyperparameters(self._about)
        logger.log_text("run", "\n".join(f"- {name}: `{value}`" for name, value in self._about.items()))
        return logger

    def log_cell(self, cell: Cell, rows: Iterable[dict[str, Any]], seconds: float | None = None) -> None:
        """Log one cell.

        Args:
            cell: which one.
            rows: of the kind `cells`.
            seconds: since it was begun, tuning included; None: not known.
        """
        if not self._tools:
            return
        every = list(rows)
        task, optimizer, track = cell.key
        line, horizon = f"{optimizer} {track}", int(every[0]["steps"])
        losses = [row["loss"] for row in every if row["status"] == "ok"]
        if losses:
            middle = interquartile_mean(np.asarray(losses, dtype=np.float64), axis=0)
            steps = np.unique(np.linspace(0, horizon, min(horizon + 1, POINTS)).round().astype(int))
            for step in steps.tolist():
                self._logger.log_scalar(f"loss/{task}", float(middle[step]), step, line)
        failed = len(every) - len(losses)
        if not failed:
            mean = math.fsum(row["final_loss"] for row in every) / len(every)
            self._logger.log_scalar(f"loss_final/{task}", mean, horizon, line)
        self._logger.log_scalar(f"seeds_failed/{task}", failed, horizon, line)
        if seconds is not None:
            self._logger.log_scalar(f"seconds/{task}", seconds, horizon, line)
        reasons = dict.fromkeys(str(row["reason"]) for row in every if row["status"] != "ok")
        status = f"{failed} of {len(every)} seeds failed: {'; '.join(reasons)}" if failed else "ok"
        self._logger.log_text(f"status/{task}/{line.replace('/', '-')}", status)
        self._logger.flush()
        self._logged.add(cell.key)

    def log_stored(self, cells: Iterable[Cell]) -> None:
        """Log what earlier starts computed, where it has not been logged yet.

        Args:
            cells: of the run.
        """
        if not self._tools:
            return
        run = RunFolder(self._folder)
        for cell in cells:
            if cell.key not in self._logged:
                rows: Any = run.read_one("cells", cell_name(*cell.key)).to_dict("records")
                self.log_cell(cell, rows)

    def close(self) -> None:
        """Write all, and end."""
        if "_logger" in self.__dict__:
            self._logger.close()
