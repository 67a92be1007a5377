"""Logging that never fails: what goes wrong ends a log with one line, and no training and no cell."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from l2obench.bench.loggers.base import Logger, Value
from l2obench.foundation.errors import describe_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Attempts:
    """Makes calls until one fails; from then on it makes none.

    Args:
        what: what is not written any more, for the line.
        warn: called with the line, once at most.

    Example:
        >>> attempts = Attempts("the log", print)
        >>> attempts(lambda: 1 / 0)
        the log is not written any more: ZeroDivisionError: division by zero. Everything else goes on
        >>> attempts(lambda: print("never"))
    """

    def __init__(self, what: str, warn: Callable[[str], Any]) -> None:
        self._what, self._warn = what, warn
        self.failed = False

    def __call__(self, call: Callable[[], Any]) -> None:
        """Make a call, unless an earlier one failed.

        Args:
            call: what may fail. Signals are no `Exception`s and pass.
        """
        if self.failed:
            return
        try:
            call()
        # Whatever a foreign package raises.
        except Exception as error:
            self.failed = True
            self._warn(f"{self._what} is not written any more: {describe_error(error)}. Everything else goes on")


class UnfailingLogger(Logger):
    """Passes everything on until something fails; from then on it does nothing.

    Args:
        tool: its name, for the line.
        make: makes the logger.
        warn: called with the line, once at most.
    """

    def __init__(self, tool: str, make: Callable[[], Logger], warn: Callable[[str], Any]) -> None:
        self.run_id = tool
        self._attempt = Attempts(tool, warn)
        self._made: list[Logger] = []
        self._attempt(lambda: self._made.append(make()))

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        self._pass_on(lambda logger: logger.log_scalar(tag, value, step, line))

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        self._pass_on(lambda logger: logger.log_figure(tag, figure, step))

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self._pass_on(lambda logger: logger.log_text(tag, text, step))

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        self._pass_on(lambda logger: logger.log_hyperparameters(values))

    def flush(self) -> None:
        self._pass_on(lambda logger: logger.flush())

    def close(self) -> None:
        self._pass_on(lambda logger: logger.close())

    def _pass_on(self, call: Callable[[Logger], Any]) -> None:
        # Empty where the logger could not be made, or has failed.
        for logger in tuple(self._made):
            self._attempt(partial(call, logger))
            if self._attempt.failed:
                self._made.remove(logger)
                logger.abandon()
