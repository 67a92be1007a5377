"""What commands do at their start and end: set the process up, complain in one line, exit codes."""

import os
import sys
from pathlib import Path

from typer.exceptions import TyperException

EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 2, 3, 130, 143


class Terminated(BaseException):
    """SIGTERM came: a batch system's way to say that the time is over. It ends a command as Ctrl-C does."""


def terminate(*_: object) -> None:
    """A handler of SIGTERM."""
    raise Terminated


def complain(message: str) -> None:
    """One line on stderr; of several processes that torchrun started, the first speaks for all."""
    if os.environ.get("RANK", "0") == "0":
        print(f"l2obench: {' '.join(message.split())}", file=sys.stderr)


def set_up(device: str, data_dir: Path | None) -> None:
    import torch

    from bench.process import set_up_process

    set_data_dir(data_dir)
    set_up_process()
    try:
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError) as error:
        raise TyperException(f"--device {device} cannot be used here: {str(error).splitlines()[0]}") from error


def set_data_dir(data_dir: Path | None) -> None:
    from tasks.data import DATA_DIR_VARIABLE

    if data_dir is not None:
        os.environ[DATA_DIR_VARIABLE] = str(data_dir)
