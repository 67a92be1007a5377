"""`l2obench leaderboard`: one page over several runs, which ranks optimizers."""

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_run


def leaderboard(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Results folders, folders of them, or their suites' names. Each is held to what those before it did.",
            autocompletion=complete_run,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the page.  [default: leaderboard]")] = None,
    open_in_browser: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank the optimizers of several runs on one page.

    Rows are optimizers, tuned and untuned apart. Columns are families of tasks. A cell is the final training loss
    divided by that of the best baseline. Rows are ordered by the share of tasks on which an optimizer is within 10 %
    of the best. A task that it did not run counts as one where it is not.

    A run is refused where its tasks, functions, seeds, checkpoints or tracks differ from those of the runs before it.

    Files in the folder:
        index.html   the page, which loads nothing from the network
        tables/      the leaderboard as Markdown and CSV, and the baseline of each task

    Exit codes: 0 finished, 2 wrong usage, or a run that does not fit.

    Examples:
        l2obench leaderboard results/reference --open
        l2obench leaderboard results/reference results/mine --out results/leaderboard
    """
    from l2obench.api.reporting import to_folders
    from l2obench.reports.page.leaderboard import FOLDER, write_leaderboard

    written = write_leaderboard(to_folders(runs), out or FOLDER)
    if open_in_browser:
        webbrowser.open(written.page.resolve().as_uri())
    if as_json:
        found = {
            "page": str(written.page),
            "tables": [str(path) for path in written.tables],
            "left_out": written.found.left_out,
            # pandas writes what is not finite as null: JSON has no infinity.
            "rows": json.loads(written.found.numbers.to_json(orient="records")),
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print(written.text)
    print(f"Leaderboard of {written.found.tasks} tasks and {written.runs} runs written to {written.page}")
