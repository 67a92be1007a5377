"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

LONGEST_TIMEOUT = 1e6  # a dozen days; a pipe cannot be waited on for much longer

Tasks = Annotated[
    list[str] | None,
    typer.Option("-t", "--task", help="A task, as in 'mnist-mlp[activation=relu,units=40]'. Repeatable."),
]
Optimizers = Annotated[
    list[str] | None,
    typer.Option(
        "-o", "--optimizer", help="An optimizer, as in adam, 'lstm[checkpoint=mnist]', torch.optim.Rprop. Repeatable."
    ),
]
Device = Annotated[str, typer.Option(help="The torch device: cpu, cuda, cuda:1.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of downloaded data (or set L2OBENCH_DATA).")]
Force = Annotated[bool, typer.Option("--force", help="Compute again what is finished, replacing it.")]


def check_timeout(seconds: float | None) -> float | None:
    """A number of seconds that a process can be waited for.

    Raises:
        typer.BadParameter: it is none.
    """
    if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT:
        raise typer.BadParameter(f"{seconds} is not a number of seconds above 0 and up to {LONGEST_TIMEOUT:,.0f}")
    return seconds


def show_version(wanted: bool) -> None:
    """Print the version and end, where `--version` was given."""
    if wanted:
        import importlib.metadata

        print(f"l2obench {importlib.metadata.version('l2obench')}")
        raise typer.Exit
