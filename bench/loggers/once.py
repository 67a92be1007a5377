"""A logger that logs nothing twice: a training or a run that goes on repeats what was lost, and some that was not."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from l2obench.bench.loggers.base import Logger, Value
from l2obench.foundation.errors import describe_message
from l2obench.foundation.regular_file import FileRefused, read_regular_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTES = "l2obench.json"
# A name and a number for each curve: far above any run of ours.
MAX_NOTES_BYTES = 2**26


class Backend(Protocol):
    """Makes a logger of one tool."""

    def __call__(self, folder: Path, name: str, run_id: str | None) -> Logger: ...


class LoggedOnce(Logger):
    """Passes on what lies beyond the last step of its curve, and keeps these steps in a file.

    A resumed training has the same numbers again, so a point that is left out is one that is there.

    Args:
        backend: makes the logger of a tool.
        folder: of the tool's files; it is made.
        name: of the training or the run.
        fresh: begin anew, whatever was logged before.

    Raises:
        ValueError: the file of last steps is damaged.
        OSError: the folder cannot be written.
    """

    def __init__(self, backend: Backend, folder: Path, name: str, fresh: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / NOTES
        if fresh:
            self._notes.unlink(missing_ok=True)
        kept = _read_notes(self._notes)
        self._last = {(tag, line): step for tag, line, step in kept.last_steps} if kept else {}
        self._logger = backend(folder, name, kept.run_id if kept else None)
        self.run_id = self._logger.run_id
        self._write_notes()

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        if self._is_new(tag, line, step):
            self._logger.log_scalar(tag, value, step, line)

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        if self._is_new(tag, "figure", step):
            self._logger.log_figure(tag, figure, step)

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        if self._is_new(tag, "text", step):
            self._logger.log_text(tag, text, step)

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        if self._is_new("hyperparameters", "", 0):
            self._logger.log_hyperparameters(values)

    def flush(self) -> None:
        self._logger.flush()
        self._write_notes()

    def close(self) -> None:
        self._logger.close()
        self._write_notes()

    def abandon(self) -> None:
        self._logger.abandon()

    def _is_new(self, tag: str, line: str, step: int) -> bool:
        if step <= self._last.get((tag, line), -1):
            return False
        self._last[tag, line] = step
        return True

    def _write_notes(self) -> None:
        steps = [[tag, line, step] for (tag, line), step in self._last.items()]
        beside = self._notes.with_suffix(".part")
        # Not flushed to the disk, which would cost more than a short trajectory: a kill of the process loses nothing.
        beside.write_text(json.dumps({"run_id": self.run_id, "last_steps": steps}), encoding="utf-8")
        os.replace(beside, self._notes)


class _Notes(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    run_id: str
    last_steps: list[tuple[str, str, int]]


def _read_notes(path: Path) -> _Notes | None:
    if not os.path.lexists(path):
        return None
    try:
        return _Notes.model_validate_json(read_regular_file(path, MAX_NOTES_BYTES))
    except (FileRefused, ValidationError) as error:
        raise ValueError(f"{path} is damaged: {describe_message(error)}. Try: delete its folder") from error
