"""The start and end of every command: threads and device, signals, one line for an error, exit codes."""

import os
import signal
import sys
from pathlib import Path

from l2obench.foundation.plain_text import escape_controls

EXIT_USAGE, EXIT_FAILED = 2, 3
# What was given may be of any length, and stands in the message.
LONGEST_ERROR = 2000
SIGNAL_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated (the terminal was closed)"}


class Terminated(BaseException):
    """SIGINT, SIGTERM or SIGHUP came: from Ctrl-C, a batch system when the time is over, a terminal that was closed.

    It is not Python's KeyboardInterrupt. Where that is raised in code evaluated from a string, as in some imports,
    CPython later ends by the signal and ignores the exit code that we ask for.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"{SIGNAL_WORDS[signal.Signals(number).name]}; finished work is kept. Try: the same command again to resume"
        )
        self.exit_code = 128 + number  # as a shell has it: 130, 143


def raise_terminated(number: int, _: object) -> None:
    """Handle these signals: raise `Terminated`.

    Args:
        number: of the signal.
    """
    raise Terminated(number)


def install_signal_handlers() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise `Terminated`."""
    for name in SIGNAL_WORDS:
        # Windows has no SIGHUP. A shell ignores SIGINT for its background jobs, and nohup ignores SIGHUP: so do we.
        number = getattr(signal, name, None)
        if number is not None and (name == "SIGTERM" or signal.getsignal(number) is not signal.SIG_IGN):
            signal.signal(number, raise_terminated)


def print_error(message: str) -> None:
    """Print one line on stderr; of several processes that torchrun started, only rank 0 prints.

    Args:
        message: what went wrong; line breaks become spaces.
    """
    if os.environ.get("RANK", "0") == "0":
        line = escape_controls(" ".join(message.split()))
        line = line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}…"
        print(f"l2obench: {line}", file=sys.stderr)


def prepare_process(device: str, data_dir: Path | None) -> None:
    """Set threads and the data folder, and make sure that the device works.

    Args:
        device: value of `--device`.
        data_dir: value of `--data-dir`; None leaves the folder as it is.

    Raises:
        DeviceError: the device does not exist, or cannot compute.
    """
    from l2obench.bench.process import require_device, set_up_process

    set_data_dir(data_dir)
    set_up_process()
    require_device(device)


def set_data_dir(data_dir: Path | None) -> None:
    """Set the folder of downloaded data for this process and those that it starts; None leaves it as it is.

    Args:
        data_dir: value of `--data-dir`.
    """
    from l2obench.tasks.data.folder import DATA_DIR_VARIABLE

    if data_dir is not None:
        os.environ[DATA_DIR_VARIABLE] = str(data_dir)
