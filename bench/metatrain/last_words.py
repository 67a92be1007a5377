"""A line on stderr where this process ends in the middle of a training without a word, as by a crash of a plugin."""

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator

LEFT = b"."


@contextlib.contextmanager
def last_words(line: str) -> Iterator[None]:
    """Have a process apart print a line if this one ends inside the block.

    It waits for a pipe to close, which the system does whatever ends this process. On Windows, which cannot fork, the
    block runs without it.

    Args:
        line: what it prints.
    """
    if not hasattr(os, "fork"):
        yield
        return
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Beside other threads the copy may find a lock taken for ever. This one takes none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _wait_and_say(read, write, line)
    os.close(read)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody ended it
            os.write(write, LEFT)
        os.close(write)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _wait_and_say(read: int, write: int, line: str) -> None:
    """The other process's side; it never returns."""
    try:
        os.close(write)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # they are meant for the training, and it answers them
        if os.read(read, 1) != LEFT:
            os.write(2, f"l2obench: {line}\n".encode())
    finally:
        os._exit(0)
