"""A limit on what foreign code may take in this process, where nothing can kill it: importing a module."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class DeadlinePassed(BaseException):
    """The limit is over. No Exception: the code that hangs must not take it for an error of its own."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise in the block once it has taken too long.

    It needs the alarm signal. Without it (on Windows, in another thread than the first, where something else has set
    an alarm) the block has no limit.

    Args:
        seconds: of wall-clock time.

    Raises:
        DeadlinePassed: the block took longer.

    Example:
        >>> try:
        ...     with deadline(0.01):
        ...         while True:
        ...             pass
        ... except DeadlinePassed:
        ...     print("over")
        over
    """
    free = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not free or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise DeadlinePassed

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
