"""`l2obench pack`: the files of a run, one for each kind."""

from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import complete_run


def pack(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Results folders, or names of their suites.", autocompletion=complete_run),
    ],
    croissant: Annotated[
        bool, typer.Option("--croissant", help="Also describe the run for others, as Croissant (MLCommons).")
    ] = False,
    license_url: Annotated[
        str | None,
        typer.Option("--license", metavar="<URL>", help="License of the results, for the description. [default: none]"),
    ] = None,
) -> None:
    """Put the files of a run into one Parquet file a kind.

    A run writes a file for each cell and packs them when it ends. This command packs what an interrupted run or an
    earlier version left. No number changes. A run goes on from packed files as from others.

    Files in the results folder:
        cells/all.parquet   all rows of cells; tuning, trials, timing, pictures and heldout likewise

        croissant.json      with --croissant: files with their hashes, and what each column is

    Exit codes: 0 finished, 2 wrong usage or damaged results.

    Examples:
        l2obench pack results/quick
        l2obench pack results/reference/quick results/reference/scheduled
        l2obench pack results/mine --croissant --license https://creativecommons.org/licenses/by/4.0/
    """
    from l2obench.api.locating import find_results
    from l2obench.bench.store.croissant import write_croissant
    from l2obench.bench.store.run_folder import RunFolder

    if license_url is not None and not croissant:
        raise TyperException("--license needs --croissant. Try: l2obench pack RUN --croissant --license URL")

    for given in runs:
        run = RunFolder(find_results(given))
        # A folder that is no run is refused before anything in it is touched.
        _ = run.manifest
        print(f"{run.folder}: {run.pack():,} files packed")
        if croissant:
            print(f"{run.folder}: described in {write_croissant(run, license_url)}")
