"""`l2obench report`: tables, figures and a page from results."""

import json
import os
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from l2obench.bench.commands.completion import complete_run


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Results folders of l2obench run, or their suites' names. Several make one report.",
            autocompletion=complete_run,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.  [default: report in the first results folder]")
    ] = None,
    figures: Annotated[
        str, typer.Option(help="Also write figures as files in these formats, separated by commas: pdf, png, svg.")
    ] = "",
    open_in_browser: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write tables, figures and one HTML page from results.

    A name such as quick stands for results/quick, unless there is a folder of that name. The page is one file and loads
    nothing from the network. The command prints its answer.

    Files in the report folder:
        index.html   the page, with its charts
        tables/      every table as Markdown, CSV and LaTeX
        figures/     with --figures, every figure, its numbers as CSV, and figures.json, which describes them

    Figures are 6.8 inches wide, for the text of a paper, with type of 9 points and TrueType fonts. A second report into
    the same folder draws only the figures whose numbers have changed. Tables in LaTeX have seven columns at most.

    Exit codes: 0 finished, 2 wrong usage.

    Examples:
        l2obench report results/quick --open
        l2obench report results/monday results/tuesday --out results/both --figures pdf
    """
    began = time.perf_counter()
    from l2obench.api.reporting import make_report, open_page, read_formats, to_folders
    from l2obench.reports.numbers.answer import answer_records

    formats = read_formats(figures)
    written = make_report(to_folders(runs), out, formats, processes=os.cpu_count() or 1, progress=not as_json)
    if open_in_browser:
        open_page(written)
    if as_json:
        found = {
            "page": str(written.page),
            "tables": [str(path) for path in written.tables],
            "figures": [str(path) for path in written.figures],
            "answer": answer_records(written.answers),
            # pandas writes what is not finite as null: JSON has no infinity.
            "headline": json.loads(written.rows.to_json(orient="records")),
            "heldout": json.loads(written.heldout.to_json(orient="records")),
            "budget": json.loads(written.budget.to_json(orient="records")),
            "trials_to_match": json.loads(written.trials_to_match.to_json(orient="records")),
            "recipes": json.loads(written.recipes.to_json(orient="records")),
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print(written.headline)
    hint = "" if open_in_browser else f" Open it with: l2obench report {shlex.join(map(str, runs))} --open"
    print(f"Report written to {written.page} ({time.perf_counter() - began:.0f} s).{hint}")
