"""What `l2obench.run` and the command `l2obench run` share: a plan, carried out into a folder, with its progress shown.

It imports no report, which would delay the command.
"""

import contextlib
import datetime
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from l2obench.api.forecasting import count_steps, forecast
from l2obench.api.progress import ProgressDisplay
from l2obench.api.run_log import RunLog
from l2obench.bench.config.budget import is_tuned
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, Suite
from l2obench.bench.config.tracks import list_given_rates
from l2obench.bench.loggers.unfailing import Attempts
from l2obench.bench.run.executors.choice import ChoiceError, ExecutorChoice, ExecutorName
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.learned.fused.step import HOW_TO_INSTALL, numba_is_installed

LONG = 50_000
"""Steps of all replicas, tuning included, from which a run begins with a forecast."""


def execute(
    name: str,
    plan: Suite,
    folder: Path,
    choice: ExecutorChoice,
    options: RunOptions,
    command: str,
    progress: bool = True,
    tools: Sequence[str] = (),
) -> Outcome:
    """Run what is planned into a folder, and show progress; the command line's part of `run` too.

    Args:
        name: of the suite, for the manifest.
        plan: what runs.
        folder: the results folder.
        choice: the executor.
        options: how cells are run.
        command: how it was started, for the manifest.
        progress: show what is done.
        tools: where to log, as `read_tools` gives them.

    Raises:
        ChoiceError: fused steps are asked for, and numba is not installed.
        StoreError, ExecutorError, FileNotFoundError: as `Runner.execute` says.
    """
    cells = plan.cells()
    _require_numba(options)
    display = ProgressDisplay("running")
    show: Callable[[str], Any] = display.print_line if progress else lambda _: None
    place = choice.make(cells, options.timeout, show)
    about = {
        "suite": name,
        "description": plan.description,
        "command": command,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    warn = display.print_line if progress else partial(print, file=sys.stderr)

    def show_forecast() -> None:
        # On a cluster, other machines do the work.
        if progress and choice.name is not ExecutorName.dask and sum(count_steps(cells)) > LONG:
            for line in forecast(cells, folder, options).lines():
                show(line)

    log, attempt = RunLog(tools, folder, about, options.force, warn), Attempts("the log", warn)
    runner = Runner(
        RunFolder(folder),
        cells,
        options,
        executor=place,
        report=show,
        on_cell=lambda cell, rows, seconds: attempt(lambda: log.log_cell(cell, rows, seconds)),
        progress=lambda done, planned: display.count(done, planned, place.places()) if progress else None,
        on_begin=show_forecast,
    )
    with display if progress else contextlib.nullcontext():
        show(f"Plan: {describe_plan(cells)}, into {folder}")
        if given := list_given_rates(plan):
            show(f"{', '.join(given)}: lr is given, so it is not tuned")
        try:
            outcome = runner.execute(about)
            attempt(lambda: log.log_stored(cells))
        finally:
            log.close()
        pack(folder, show)
        return outcome


def pack(folder: Path, show: Callable[[str], Any]) -> None:
    """Put the files of a finished run into one a kind. Where that fails, they stay as they are, and a line says so.

    Args:
        folder: of the run.
        show: called with the line.
    """
    try:
        RunFolder(folder).pack()
    except StoreError as error:
        show(f"the files of the run are not packed: {error}")


def _require_numba(options: RunOptions) -> None:
    """Refuse fused steps that cannot be had, before anything is written."""
    if options.fused and not numba_is_installed():
        raise ChoiceError(f"fused steps need numba, which is not installed. Try: {HOW_TO_INSTALL}")


def describe_plan(cells: Sequence[Cell]) -> str:
    """Say in a line how much a run is to compute.

    Args:
        cells: those of the run.
    """
    tasks, optimizers = ({cell.key[at] for cell in cells} for at in (0, 1))
    evaluation, tuning = count_steps(cells)
    tuned = sum(is_tuned(cell.track) for cell in cells)
    return (
        f"{_count(len(cells), 'cell')} of {_count(len(tasks), 'task')} and {_count(len(optimizers), 'optimizer')}, "
        f"{evaluation:,} steps of evaluation"
        # A grid whose best rate lies at its edge grows.
        + (f", at least {tuning:,} steps to tune {_count(tuned, 'cell')}" if tuned else "")
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
