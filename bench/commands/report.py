"""`l2obench report`: tables, figures and a page from results."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.progress import ProgressDisplay


def report(
    runs: Annotated[list[Path], typer.Argument(help="Results folders.")],
    to: Annotated[Path | None, typer.Option(help="Folder of the report. Default: RUN/report.")] = None,
    figures: Annotated[
        str, typer.Option(help="Also write figures as files, in these formats: pdf, png, svg, separated by commas.")
    ] = "",
) -> None:
    """Make tables and a page from results, and figures on request.

    The page is one file that loads nothing from the network. The headline is printed.
    """
    began = time.perf_counter()
    from l2obench.reports.page.build import write_report

    target = to or runs[0] / "report"
    formats = [name.strip() for name in figures.split(",") if name.strip()]
    with ProgressDisplay("report") as progress:
        written = write_report(runs, target, formats, processes=os.cpu_count() or 1, on_step=progress.count)
    print(written.headline)
    seconds = time.perf_counter() - began
    print(f"Report written to {written.page} ({seconds:.0f} s).")
