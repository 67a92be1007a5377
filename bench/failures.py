"""What can go wrong in a cell, as exceptions with the status and the reason that its rows then have.

Only an error of the task's or the optimizer's own code becomes a row. Any other stops the run, and the cell stays
undone: a full disk or a closed terminal says nothing about an optimizer.
"""

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


class RunStopped(RuntimeError):
    """Something failed that is neither the optimizer's nor the task's code. The cell at work is left undone."""

    exit_code = 3


class _FromModel:
    """A block that calls code of a task or an optimizer, and nothing else: what it raises is theirs."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            BaseException.__setattr__(error, "from_model", True)  # a class of a plugin's may forbid its own


from_model = _FromModel()
"""`with from_model:` around exactly the calls of a task's or an optimizer's own code."""


def classify_error(error: Exception, *, foreign: bool) -> Exception:
    """Separate an error of the task's or the optimizer's own code from any other.

    Args:
        error: what a job raised.
        foreign: whether a plugin takes part. Our own code fails at files and text only where the machine does.

    Returns:
        A `Failure`, whose reason becomes a row; else an error with an exit code, which ends the run.

    Example:
        >>> classify_error(ContractBroken("update returned nothing"), foreign=True).reason
        'ContractBroken: update returned nothing'
        >>> type(classify_error(OSError("no space left"), foreign=True)).__name__
        'RunStopped'
    """
    if isinstance(error, Failure) or hasattr(error, "exit_code"):
        return error
    theirs = isinstance(error, ContractBroken) or getattr(error, "from_model", False)
    if theirs and (foreign or not isinstance(error, (OSError, UnicodeError))):
        return Failure("error", describe_error(error))
    return RunStopped(
        f"the run stopped at an error that is not the optimizer's: {describe_error(error)}. Its cell is not stored. "
        "Try: the same command again"
    )
