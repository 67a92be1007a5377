"""TensorBoard, through torch's own writer: event files that `tensorboard --logdir FOLDER` shows."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.bench.loggers.base import Logger, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

# Seconds. A writer without an error never ends, and is not waited for longer.
LONGEST_FAREWELL = 1.0


class TensorBoardLogger(Logger):
    """Writes event files. TensorBoard draws equal tags of several folders in one chart, so a line has its own folder.

    Args:
        folder: of the event files.
        name: is not used; TensorBoard names a run by its folder.
        run_id: of an earlier start, whose points are kept; None: points of earlier starts are hidden.
    """

    def __init__(self, folder: Path, name: str, run_id: str | None) -> None:
        self.folder = folder
        self.run_id = "tensorboard"
        self._threads: set[threading.Thread] = set()
        self._purge_step = 0 if run_id is None else None
        self._writers = {"": self._open("")}

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        if line not in self._writers:
            self._writers[line] = self._open(line)
        self._writers[line].add_scalar(tag, value, step)

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        # Closing would go through pyplot, whose backend is the caller's.
        self._writers[""].add_figure(tag, figure, step, close=False)

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self._writers[""].add_text(tag, text, step)

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        from torch.utils.tensorboard import summary

        # Not `add_hparams`, which makes a run of its own beside this one. Neither function has types.
        writer: Any = self._writers[""]
        untyped: Any = summary
        for part in untyped.hparams(dict(values), {"validation/loss": 0}):
            writer.file_writer.add_summary(part)

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def abandon(self) -> None:
        # A writer that met an error still prints it, and an interpreter that ends meanwhile is aborted.
        for thread in self._threads:
            thread.join(LONGEST_FAREWELL)

    def _open(self, line: str) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        folder = self.folder / re.sub(r"[^\w.,=\[\]+-]+", "-", line)
        others = set(threading.enumerate())
        writer = SummaryWriter(str(folder), purge_step=self._purge_step)
        self._threads |= set(threading.enumerate()) - others
        return writer
