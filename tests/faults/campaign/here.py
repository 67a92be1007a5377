"""The command line in this process, as a process of its own would run it: thousands of inputs in the time of a few."""

import io
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.faults.campaign.judge import LIMIT_SECONDS, Ending

# Wall-clock seconds after which a command that uses no processor is stopped; a busy machine makes others wait too.
WALL_SECONDS = 300


class Hang(BaseException):
    """The limit is over. No Exception, so that no handler takes it for one of its own."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    numbers = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGVTALRM, stop)
    signal.alarm(WALL_SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def run_here(folder: Path, *arguments: str) -> Ending:
    """Run a command in this process.

    Args:
        folder: where it runs. Its output goes beside the folder, into files as a terminal would be one.
        arguments: of `l2obench`.
    """
    from l2obench.bench.commands.cli import main

    kept = sys.argv, list(sys.path), sys.stdout, sys.stderr, os.getcwd(), dict(os.environ)
    paths = [folder.with_name(f"{folder.name}.{name}") for name in ("out", "err")]
    streams = [io.TextIOWrapper(path.open("wb"), encoding="utf-8", line_buffering=True) for path in paths]
    code: int | str
    began = time.process_time()
    try:
        os.chdir(folder)
        sys.argv = ["l2obench", *arguments]
        sys.stdout, sys.stderr = streams
        with _limited():
            main()
        code = "none"
    except SystemExit as end:
        # Python prints a text that `sys.exit` is given, and ends with 1.
        code = int(end.code or 0) if isinstance(end.code, int | None) else 1
    except Hang:
        code = "hang"
    except BaseException as error:
        code = type(error).__name__
        traceback.print_exc(file=streams[1])
    finally:
        seconds = time.process_time() - began
        for stream in (sys.stdout, sys.stderr, *streams):
            stream.flush()
        sys.argv, sys.path, sys.stdout, sys.stderr = kept[0], kept[1], kept[2], kept[3]
        os.chdir(kept[4])
        os.environ.clear()
        os.environ.update(kept[5])
    for stream in streams:
        stream.close()
    out, err = (path.read_bytes().decode("utf-8", "surrogateescape") for path in paths)
    return Ending(code, seconds, out, err)


def seeded(kind: str, seed: int, number: int) -> random.Random:
    """The generator of one input, by which it can be made again."""
    return random.Random(f"{kind} {seed} {number}")
