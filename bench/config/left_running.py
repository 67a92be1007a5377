"""Threads and processes that a plugin's import started and left running: they are ended with the command."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil

# Time for what ends by itself with the interpreter, as the threads of a pool do.
GRACE_SECONDS = 3.0

_threads = list[threading.Thread]()
_processes = list[psutil.Process]()


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Remember which threads and processes begin in the block and outlive it."""
    threads, processes = set(threading.enumerate()), _children()
    try:
        yield
    finally:
        _threads.extend(thread for thread in threading.enumerate() if thread not in threads and not thread.daemon)
        _processes.extend(process for process in _children() if process not in processes)


def end_left_running(code: int, say: Callable[[str], None]) -> None:
    """End the processes now, and see to it that no thread keeps this process from ending.

    Args:
        code: with which the process ends, where a thread would hold it for ever.
        say: called with a line where something is ended.
    """
    alive = [process for process in _processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if alive:
        say(f"a plugin left {_count(len(alive), 'process', 'processes')} running, now ended: {_listed(alive)}")
    for process in alive:
        with contextlib.suppress(psutil.Error):
            for child in (*process.children(recursive=True), process):
                with contextlib.suppress(psutil.Error):
                    child.kill()
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    if any(thread.is_alive() for thread in _threads):
        threading.Thread(target=_end_after_main, args=(code, say), daemon=True).start()


def _end_after_main(code: int, say: Callable[[str], None]) -> None:
    """Once the main thread is over, the interpreter waits for all threads that are no daemons."""
    threading.main_thread().join()
    end = time.monotonic() + GRACE_SECONDS
    for thread in _threads:
        thread.join(max(0.0, end - time.monotonic()))
    alive = [thread.name for thread in _threads if thread.is_alive()]
    if not alive:
        return
    say(f"a plugin left {_count(len(alive), 'thread', 'threads')} running, now ended: {', '.join(alive)}")
    os._exit(code)


def _children() -> list[psutil.Process]:
    return list(psutil.Process().children())


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _listed(processes: list[psutil.Process]) -> str:
    return ", ".join(f"{process.pid} ({process.name()})" for process in processes)
