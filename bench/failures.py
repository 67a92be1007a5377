"""What can go wrong in a cell, as exceptions with the status and the reason that its rows then have."""

from typing import Literal

from l2obench.foundation.errors import describe_error


class ContractBroken(ValueError):
    """A task or an optimizer returned or did what its contract rules out; the message says what."""


class Failure(Exception):
    """A job gave no result.

    Args:
        status: what the rows say: `error`, or `timeout` where its process had to be killed.
        reason: why, in one line.
        at: the part that was last begun, where the job named its parts.
    """

    def __init__(self, status: Literal["error", "timeout"], reason: str, at: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.at = at


class ProcessLost(Failure):
    """The process that did the job ended, by itself or from outside. The job may succeed in another."""


class GivenUp(BaseException):
    """A job was given up, because the run ends. No Exception: no handler of a job's errors may catch it."""


def as_failure(error: Exception) -> Failure:
    """Turn any error into a failure; a failure stays what it is.

    Args:
        error: what a job, or a plugin inside it, raised.

    Example:
        >>> as_failure(ValueError("no such digit")).reason
        'ValueError: no such digit'
    """
    return error if isinstance(error, Failure) else Failure("error", describe_error(error))
