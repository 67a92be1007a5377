"""`l2obench run`: every optimizer of a suite on every task."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.options import DataDir, Device, Force, Optimizers, Tasks, check_timeout
from l2obench.bench.commands.process import EXIT_FAILED, prepare_process, print_error
from l2obench.bench.run.executors.choice import ExecutorName, choose_executor

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Suite
    from l2obench.bench.run.runner import Outcome


def run(
    suite: Annotated[
        str | None, typer.Argument(help="Suite by name, or the path of a .toml file. See: l2obench list suites")
    ] = None,
    task: Tasks = None,
    optimizer: Optimizers = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of evaluation seeds for each task. Unless given, the suite's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Results folder.  [default: results/SUITE, or results/custom]")
    ] = None,
    force: Force = False,
    trained: Annotated[
        Path | None,
        typer.Option(help="Folder of 'l2obench train-suite'. Its checkpoints replace the shipped ones."),
    ] = None,
    seeds_at_once: Annotated[
        int | None, typer.Option(min=1, help="Seeds in one rollout. Fewer save memory. Results do not depend on it.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            callback=check_timeout,
            help="Seconds that one step may take before its cell fails. Unless given, 300 for plugins, else no limit.",
        ),
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="Where cells run: in this process, on the cores of this machine, or on Dask.")
    ] = ExecutorName.serial,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes for 'local', or for 'dask' without --scheduler. Unless given, one for each core."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a running Dask scheduler, tcp://HOST:8786, or its scheduler file. Implies 'dask'."
        ),
    ] = None,
    resources: Annotated[
        str | None, typer.Option(help="Resources that a Dask worker needs for a cell, such as GPU=1,MEMORY=8e9.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="GiB for replicas. Unless given, half of what is free. Results do not depend on it."
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile whole steps with torch.compile. Compiling takes about a minute: for long runs."
        ),
    ] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Run optimizers on tasks and write the results.

    Give a suite, or tasks with -t and optimizers with -o. With a suite, -t replaces its tasks and -o its optimizers.
    The same command resumes a run that was stopped, with any executor.

    Files in the results folder:
        manifest.json       suite, versions, machine
        cells/*.parquet     one row for each seed, with its loss at every step
        tuning/*.parquet    one row for each learning rate that was tried
        timing/*.parquet    step times, measured one after the other
        pictures/*.parquet  images, for tasks that have them

    Exit codes: 0 finished, 2 wrong usage, 3 a cell failed unexpectedly, 130 interrupted, 143 terminated.

    Examples:
        l2obench run quick
        l2obench run -t quadratic -o adam -o 'lstm[checkpoint=quadratic]' --seeds 20
        l2obench run quick -o mypackage.optimizers:MyOptimizer --executor local
    """
    name, plan = _plan(suite, task, optimizer, seeds)
    if trained is not None:
        if not plan.trainings:
            raise TyperException(f"--trained needs a suite with [[trainings]], got {name}. Try: leave --trained out")
        plan = plan.with_checkpoints(trained)
    choice = choose_executor(executor, workers, scheduler, resources)
    prepare_process(device, data_dir)

    from l2obench.api.execution import execute
    from l2obench.bench.config.run_options import RunOptions
    from l2obench.bench.rollout.memory import GIB

    folder = out or Path("results") / name
    options = RunOptions(
        device=device,
        force=force,
        seeds_at_once=seeds_at_once,
        timeout=timeout,
        memory=None if memory is None else memory * GIB,
        compile=compile,
    )
    outcome = execute(name, plan, folder, choice, options, shlex.join(["l2obench", *sys.argv[1:]]))
    print(f"{_summarize(outcome)}. Next: l2obench report {shlex.quote(str(folder))}")
    for line in outcome.errors:
        print_error(line)
    if outcome.errors:
        raise typer.Exit(EXIT_FAILED)


def _summarize(outcome: "Outcome") -> str:
    """How many cells were computed, in what time, and how many were there before."""
    total = outcome.computed + outcome.already_computed
    if not outcome.computed:
        return f"{outcome.already_computed} of {total} cells already computed"
    seconds = f"{outcome.cells_seconds:.0f} s (timing {outcome.timing_seconds:.0f} s)"
    before = f", {outcome.already_computed} already computed" if outcome.already_computed else ""
    return f"{outcome.computed} of {total} cells computed in {seconds}{before}"


def _plan(
    suite: str | None, tasks: list[str] | None, optimizers: list[str] | None, seeds: int | None
) -> "tuple[str, Suite]":
    """The name of the run and its matrix."""
    from l2obench.bench.config.suite import load_suite, make_suite

    if suite is not None:
        return Path(suite).stem, load_suite(suite).narrowed(tasks, optimizers, seeds)
    if not (tasks and optimizers):
        raise TyperException("a suite is required, or a task with -t and an optimizer with -o. Try: l2obench run quick")
    plan = make_suite("custom", {"optimizers": optimizers, "tasks": [{"task": name} for name in tasks]})
    return "custom", plan.narrowed(None, None, seeds)
