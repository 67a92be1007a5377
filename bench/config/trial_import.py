"""A first import in a process that may die: a module that ends its process then costs one line, not the command."""

import contextlib
import faulthandler
import os
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

# Beyond the limit of the import in seconds: the process apart ends itself where nobody is left to end it.
GRACE_SECONDS = 10


class ProcessEnded(Exception):
    """What was tried ended its process; the message says with which exit code or by which signal."""


def beside_other_threads() -> bool:
    """Whether other threads of Python run, which may hold a lock that a copy of this process would wait for."""
    return threading.active_count() > 1


def try_apart(action: Callable[[], Any], limit_seconds: float) -> None:
    """Call a function in a copy of this process first, and forget what it returns or raises.

    The copy prints nothing and reads nothing. What it changes of its memory is lost, what it does to files is not.
    Nothing is tried where a copy could wait for ever for a lock: beside other threads, or where the system cannot fork.

    Args:
        action: what is tried.
        limit_seconds: after which the caller gives up; the copy ends itself soon after that.

    Raises:
        ProcessEnded: the copy ended before the function did.

    Example:
        >>> try_apart(lambda: print("not seen"), 10)
        >>> try_apart(lambda: os._exit(7), 10)  # doctest: +SKIP
        Traceback (most recent call last):
        l2obench.bench.config.trial_import.ProcessEnded: ended its process with exit code 7
    """
    if not hasattr(os, "fork") or beside_other_threads():
        return
    answer, theirs = os.pipe()
    try:
        with warnings.catch_warnings():
            # Libraries' own threads, as OpenBLAS's, are made ready for a fork by these libraries.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _try(action, theirs, limit_seconds)
        status = _wait(child)
        os.set_blocking(answer, False)
        with contextlib.suppress(BlockingIOError):
            # What the function started may hold the pipe open; so it is asked, not waited for.
            if os.read(answer, 1):
                return
    finally:
        os.close(answer)
        os.close(theirs)
    code = os.waitstatus_to_exitcode(status)
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    raise ProcessEnded(f"ended its process {how}")


def _try(action: Callable[[], Any], answer: int, limit_seconds: float) -> None:
    """The copy's side; it never returns."""
    try:
        faulthandler.disable()
        os.setpgid(0, 0)  # so that it is ended with what it started
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(round(limit_seconds) + GRACE_SECONDS)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        with contextlib.suppress(BaseException):
            action()
        os.write(answer, b".")
    finally:
        os._exit(0)


def _wait(child: int) -> int:
    """The status with which the copy ended; where the wait ends otherwise, as by Ctrl-C, it is killed."""
    try:
        return os.waitpid(child, 0)[1]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
