"""What commands do at their start and end: set the process up, complain in one line, exit codes."""

import os
import signal
import sys
from pathlib import Path

from typer.exceptions import TyperException

EXIT_USAGE, EXIT_FAILED = 2, 3
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(BaseException):
    """SIGINT or SIGTERM came: Ctrl-C, or a batch system's way to say that the time is over.

    Not Python's KeyboardInterrupt: where that meets code evaluated from a string, as in some imports, CPython ends by
    the signal later, whatever exit code is asked for.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"{WORDS[signal.Signals(number)]}; what is finished is kept, and the same command goes on from there"
        )
        self.exit_code = 128 + number  # as a shell has it: 130, 143


def stop(number: int, _: object) -> None:
    """A handler of both."""
    raise Terminated(number)


def heed_signals() -> None:
    """Both end a command by `Terminated`; SIGINT does not where it is ignored, as in the background of a shell."""
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)


def complain(message: str) -> None:
    """One line on stderr; of several processes that torchrun started, the first speaks for all."""
    if os.environ.get("RANK", "0") == "0":
        print(f"l2obench: {' '.join(message.split())}", file=sys.stderr)


def set_up(device: str, data_dir: Path | None) -> None:
    import torch

    from l2obench.bench.process import set_up_process
    from l2obench.foundation.errors import describe_message

    set_data_dir(data_dir)
    set_up_process()
    try:
        torch.zeros((), device=device).item()  # which device meta has not
    except (RuntimeError, AssertionError) as error:
        raise TyperException(f"--device {device} cannot be used here: {describe_message(error)}") from error


def set_data_dir(data_dir: Path | None) -> None:
    from l2obench.tasks.data.folder import DATA_DIR_VARIABLE

    if data_dir is not None:
        os.environ[DATA_DIR_VARIABLE] = str(data_dir)
