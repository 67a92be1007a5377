"""A logger that never fails: what goes wrong in a tool ends its log with one line, and no training and no cell."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from l2obench.bench.loggers.base import Logger, Value
from l2obench.foundation.errors import describe_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class UnfailingLogger(Logger):
    """Passes everything on until something fails; from then on it does nothing.

    Args:
        tool: its name, for the line.
        make: makes the logger.
        warn: called with the line, once at most.
    """

    def __init__(self, tool: str, make: Callable[[], Logger], warn: Callable[[str], Any]) -> None:
        self.tool = tool
        self.run_id = ""
        self._warn = warn
        self._logger: Logger | None = None
        try:
            self._logger = make()
        except Exception as error:
            self._give_up(error)
        else:
            self.run_id = self._logger.run_id

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        self._try(lambda logger: logger.log_scalar(tag, value, step, line))

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        self._try(lambda logger: logger.log_figure(tag, figure, step))

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self._try(lambda logger: logger.log_text(tag, text, step))

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        self._try(lambda logger: logger.log_hyperparameters(values))

    def flush(self) -> None:
        self._try(lambda logger: logger.flush())

    def close(self) -> None:
        self._try(lambda logger: logger.close())

    def _try(self, call: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            call(self._logger)
        # Whatever a foreign package raises. Signals are no `Exception`s and pass.
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._logger = None
        self._warn(f"{self.tool} is not written any more: {describe_error(error)}. Everything else goes on")
