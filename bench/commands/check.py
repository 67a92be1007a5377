"""`l2obench check`: the regression gate."""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import (
    complete_checkpoint,
    complete_optimizer,
    complete_run,
    complete_suite,
)
from l2obench.bench.commands.options import DataDir, Device, Tasks
from l2obench.bench.commands.process import prepare_process, print_error
from l2obench.foundation.plain_text import escape_controls, let_controls_pass

if TYPE_CHECKING:
    from l2obench.bench.gate.cell_verdict import Check


def check(
    sides: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULTS",
            help="[BASE] HEAD: results folders or their suites' names, folders of them, or Parquet files. "
            "BASE defaults to the reference.",
            autocompletion=complete_run,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Checkpoint to run in place of HEAD. Needs --against.", autocompletion=complete_checkpoint),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Checkpoint to run in place of BASE.", autocompletion=complete_checkpoint)
    ] = None,
    suite: Annotated[
        str, typer.Option(help="Suite whose tasks the checkpoints run on.", autocompletion=complete_suite)
    ] = "gate",
    task: Tasks = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--optimizer",
            metavar="<optimizer>",
            help="Optimizer that reads the checkpoints, such as mypkg.opt:MyOptimizer.",
            autocompletion=complete_optimizer,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Number of seeds for each task, for checkpoints. Unless given, the suite's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the runs of the checkpoints in.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Relative growth of the final loss that passes, such as 0.05. Unless given, each task's own."
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Do not fail where HEAD lacks a cell or seeds.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Fail where a step takes this many times as long. Unless given, step times are only shown."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="File to write JUnit XML to.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="File to write a summary in Markdown to.")] = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Check whether a run or a checkpoint got worse than another.

    Give two results, or two checkpoints with --checkpoint and --against, which are then run here. Both sides must have
    used the same seeds. The command prints one row for each task and a verdict.

    Exit codes: 0 no regression, 1 a regression, 2 wrong usage, 4 nothing comparable,
    5 inconclusive: no regression was shown, and more seeds would decide.

    Examples:
        l2obench check results/main results/branch
        l2obench check --checkpoint new.safetensors --against old.safetensors --markdown summary.md
    """
    from l2obench.api.gating import read_sides, run_sides, write_summaries
    from l2obench.bench.gate import output
    from l2obench.bench.gate.cell_verdict import Settings
    from l2obench.bench.gate.verdict import compare

    if (checkpoint is None) != (against is None) or (checkpoint is None) == (not sides):
        raise TyperException(
            "[BASE] HEAD is required, or both --checkpoint NEW and --against OLD. Try: l2obench check results/quick"
        )
    if checkpoint is not None and against is not None:
        prepare_process(device, data_dir)
        recorded = run_sides(
            checkpoint,
            against,
            suite,
            tasks=task or (),
            optimizer=optimizer,
            seeds=seeds,
            out=out,
            device=device,
            progress=not as_json,
        )
    else:
        recorded = read_sides(*_base_and_head(sides or []))
    found = compare(*recorded, Settings(tolerance, allow_missing, time_limit))
    write_summaries(found, junit, markdown)
    if as_json:
        _print(escape_controls(output.to_json(found)))
    else:
        _print(_format_comparison(found))
    raise typer.Exit(found.exit_code)


def _base_and_head(sides: list[Path]) -> tuple[Path | None, Path]:
    from l2obench.api.locating import find_results

    if len(sides) > 2:
        raise TyperException(f"at most BASE and HEAD can be compared, got {len(sides)} results")
    found = [find_results(side) for side in sides]
    return (None if len(found) == 1 else found[0]), found[-1]


def _format_comparison(found: "Check") -> str:
    """The table, warnings and a summary. In a pipe the table is as wide as it needs to be, so that no cell is cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from l2obench.bench.gate import output
    from l2obench.bench.gate.cell_verdict import FAILING
    from l2obench.reports.formats import join_lines

    rows = output.rows(found)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "red" if row["verdict"] in FAILING else ""
        table.add_row(*(Text(join_lines(str(value)), style) for value in row.values()))
    # Not to stdout itself: the console would end the process with exit code 1, a regression's, where nobody reads on.
    console = Console(file=io.StringIO(), highlight=False, width=400)
    if sys.stdout.isatty():
        console = Console(file=io.StringIO(), highlight=False, force_terminal=True)
    with console.capture() as captured:
        console.print(table)
    lines = [join_lines(line) for line in [*output.warnings(found), output.summary(found)]]
    return captured.get() + "\n".join(lines)


def _print(text: str) -> None:
    """Print, whatever becomes of the reader: the exit code is the verdict's, also under `| head -1`."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # Colours of the table are ours; what it holds of the results has been made plain.
        print(text.encode(encoding, "replace").decode(encoding), flush=True, file=let_controls_pass(sys.stdout))
    except OSError as error:
        # What is left in the buffer goes nowhere, or Python would end with another exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print_error(f"standard output cannot be written: {error.strerror}. The exit code is the verdict's")
