"""What goes wrong in a cell, as a status and a reason that fit in its rows."""

from typing import Literal

LONGEST_REASON = 1000


class ContractBroken(ValueError):
    """A task or an optimizer returned, or did, what its contract rules out."""


class Failure(Exception):
    """A piece of work that gave no result.

    Args:
        status: what the rows say: `error`, or `timeout` where its process had to be killed.
        reason: one line.
        at: what was last begun, where the work named its parts.
    """

    def __init__(self, status: Literal["error", "timeout"], reason: str, at: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.at = at


class ProcessLost(Failure):
    """The process that did it was ended, by itself or from outside."""


class GivenUp(BaseException):
    """A piece of work was given up, because the run ends."""


def reason_of(error: Exception) -> str:
    """An error's kind and message, in one line that a table can show; a stranger's message may fail or be endless."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = "its message cannot be shown"
    return f"{type(error).__name__}: {message}"[:LONGEST_REASON]


def as_failure(error: Exception) -> Failure:
    """An error as a failure; a failure as it is."""
    return error if isinstance(error, Failure) else Failure("error", reason_of(error))
