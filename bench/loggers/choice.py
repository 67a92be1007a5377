"""Which tools `--log` names, and one logger for all of them."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.bench.loggers.base import Logger, Value
from l2obench.bench.loggers.once import LoggedOnce
from l2obench.bench.loggers.unfailing import UnfailingLogger
from l2obench.foundation.names import explain_unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKENDS = {"tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MlflowLogger"}
"""Tool → its class, in the module of this folder with the tool's name. The tool is imported by this name too."""
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow-skinny"}
"""Tool → what installs it."""


class LogError(ValueError):
    """A tool that does not exist, or whose package is not installed."""

    exit_code = 2


def read_tools(given: str | Sequence[str]) -> list[str]:
    """Give the tools of a text with commas or of a list, each once.

    Args:
        given: as `--log` takes it; empty: none.

    Raises:
        LogError: there is no such tool, or its package is not installed.

    Example:
        >>> read_tools("")
        []
        >>> read_tools("tensorbord")
        Traceback (most recent call last):
        ...
        l2obench.bench.loggers.choice.LogError: no log is called 'tensorbord'. Did you mean tensorboard? Known: \
mlflow, tensorboard, wandb
    """
    parts = given.split(",") if isinstance(given, str) else given
    tools = list(dict.fromkeys(name for part in parts if (name := part.strip())))
    for tool in tools:
        if tool not in BACKENDS:
            raise LogError(explain_unknown("log", tool, list(BACKENDS)))
        if importlib.util.find_spec(tool) is None:
            raise LogError(f"log {tool} needs a package that is not installed. Try: pip install {PACKAGES[tool]}")
    return tools


class Loggers(Logger):
    """Passes everything on to several loggers. Each is open from the first use of this object, and none fails.

    Args:
        tools: as `read_tools` gives them.
        folder: of the training or the run; each tool has a folder in it.
        name: of the training or the run.
        fresh: begin anew, whatever was logged before.
        warn: called with a line where a tool fails.
    """

    def __init__(
        self, tools: Sequence[str], folder: Path, name: str, *, fresh: bool, warn: Callable[[str], Any]
    ) -> None:
        self.run_id = name
        self._loggers = [
            # The tool is bound here: the function runs at once, but a loop's variable would be the last one's.
            UnfailingLogger(tool, lambda tool=tool: _open(tool, folder, name, fresh), warn)  # type: ignore[misc]
            for tool in tools
        ]

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        for logger in self._loggers:
            logger.log_scalar(tag, value, step, line)

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        for logger in self._loggers:
            logger.log_figure(tag, figure, step)

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        for logger in self._loggers:
            logger.log_text(tag, text, step)

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        for logger in self._loggers:
            logger.log_hyperparameters(values)

    def flush(self) -> None:
        for logger in self._loggers:
            logger.flush()

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


def _open(tool: str, folder: Path, name: str, fresh: bool) -> Logger:
    backend = getattr(importlib.import_module(f"{__package__}.{tool}"), BACKENDS[tool])
    return LoggedOnce(backend, folder / tool, name, fresh)
