"""`l2obench report`: tables, figures and a page from results."""

import time
from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Results folders.")],
    to: Annotated[Path | None, typer.Option(help="Where the report goes; RUN/report unless given.")] = None,
) -> None:
    """Make tables, figures and a page from results.

    The page is one file that loads nothing. The headline is printed.
    """
    began = time.perf_counter()
    from l2obench.reports.page.build import write_report

    target = to or runs[0] / "report"
    written = write_report(runs, target)
    print(written.headline)
    print(f"report: {target / 'index.html'}, made in {time.perf_counter() - began:.0f} s")
