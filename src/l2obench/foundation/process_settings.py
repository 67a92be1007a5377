"""Settings of a process that decide where files go, how it is stopped and what is imported, read and set."""

import contextlib
import gc
import locale
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

Setting = tuple[Callable[[], Any], Callable[[Any], Any]]
# A file that another thread makes while the umask is read is private for that moment.
PRIVATE = 0o077


def _folder() -> str | None:
    """The working directory; None where it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _set_folder(folder: str | None) -> None:
    if folder is not None:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _umask() -> int:
    found = os.umask(PRIVATE)
    os.umask(found)
    return found


def _set_path(folders: list[str]) -> None:
    """The old order first: what foreign code added is still found, but hides no module of others."""
    sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in folders)]


def _handlers() -> dict[int, Any]:
    """What Python calls at each signal; other threads than the first can set none."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        # None: it was not set by Python, which cannot set it again.
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _blocked() -> set[Any]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, [])) if hasattr(signal, "pthread_sigmask") else set()


def _set_blocked(numbers: set[Any]) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, numbers)


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr, sys.excepthook, threading.excepthook


def _set_streams(streams: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.excepthook, threading.excepthook = streams


PROCESS_SETTINGS: list[Setting] = [
    (_folder, _set_folder),
    (_umask, os.umask),
    (lambda: list(sys.path), _set_path),
    (_handlers, _set_handlers),
    (_blocked, _set_blocked),
    (_streams, _set_streams),
    (lambda: locale.setlocale(locale.LC_ALL), lambda kept: locale.setlocale(locale.LC_ALL, kept)),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (gc.isenabled, lambda kept: gc.enable() if kept else gc.disable()),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
]
"""How each setting is read, and set again."""
