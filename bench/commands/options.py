"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_log, complete_optimizer, complete_task

# A dozen days. A pipe cannot be waited on for much longer: `poll` takes milliseconds as a C int, 24 days at most.
LONGEST_TIMEOUT = 1e6

Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "-t",
        "--task",
        metavar="<task>",
        help="Task, such as 'mnist-mlp[units=40]'. Repeatable. One that the suite has keeps the suite's settings.",
        autocompletion=complete_task,
    ),
]
Optimizers = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--optimizer",
        metavar="<optimizer>",
        help="Optimizer, such as adam, 'lstm[checkpoint=mnist]' or torch.optim.Rprop. Repeatable.",
        autocompletion=complete_optimizer,
    ),
]
Device = Annotated[str, typer.Option(help="Torch device, such as cpu, cuda or cuda:1.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of downloaded data. Unless given, the environment variable L2OBENCH_DATA.")
]
Log = Annotated[
    str,
    typer.Option(
        metavar="tensorboard|wandb|mlflow",
        autocompletion=complete_log,
        help="Also log to these tools; several are separated by commas. Each needs its package, such as tensorboard.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Compute finished cells again and replace them.")]


def check_timeout(seconds: float | None) -> float | None:
    """Return the seconds unchanged if a process can be waited for that long.

    Args:
        seconds: value of `--timeout`; None where it was not given.

    Raises:
        typer.BadParameter: it cannot.
    """
    if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT:
        raise typer.BadParameter(f"must be a number of seconds above 0 and up to {LONGEST_TIMEOUT:,.0f}, got {seconds}")
    return seconds


def show_version(wanted: bool) -> None:
    """Print the version and end, where `--version` was given.

    Args:
        wanted: whether it was given.
    """
    if wanted:
        import importlib.metadata

        print(f"l2obench {importlib.metadata.version('l2obench')}")
        raise typer.Exit
