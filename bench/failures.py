"""What goes wrong in a cell, as a status and a reason that fit in its rows."""

from typing import Literal

from l2obench.foundation.errors import describe_error


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


def as_failure(error: Exception) -> Failure:
    """An error as a failure; a failure as it is."""
    return error if isinstance(error, Failure) else Failure("error", describe_error(error))
