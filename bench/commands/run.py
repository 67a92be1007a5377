"""`l2obench run`: every optimizer of a suite on every task."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import complete_suite, complete_tune
from l2obench.bench.commands.dry_run import show_forecast
from l2obench.bench.commands.options import DataDir, Device, Force, Log, Optimizers, Tasks, check_timeout
from l2obench.bench.commands.process import EXIT_FAILED, prepare_process, print_error
from l2obench.bench.commands.run_summary import show_outcome
from l2obench.bench.run.executors.choice import ExecutorName, choose_executor


def run(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="Suite by name, or the path of a .toml file. See: l2obench list suites",
            autocompletion=complete_suite,
        ),
    ] = None,
    task: Tasks = None,
    optimizer: Optimizers = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of evaluation seeds for each task. Unless given, the suite's.")
    ] = None,
    heldout_points: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help="Evaluations on held-out data over the steps, besides the start. Unless given, the suite's, or 10.",
        ),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="grid|halving|off|budget=N",
            autocompletion=complete_tune,
            help="How optimizers are tuned: their learning rate on a grid, by successive halving for slow tasks, or "
            "off. budget=N gives each N quasi-random trials of all that it declares; heldout-budget=N chooses by "
            "held-out loss. Unless given, as the suite says, or on a grid.",
        ),
    ] = None,
    tuning_seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of functions to tune on. Unless given, the suite's, or 10.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Results folder.  [default: results/SUITE; without a suite, results/TASKS--OPTIMIZERS]"),
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
    timing: Annotated[
        bool, typer.Option("--timing/--no-timing", help="Measure step times first. Without, their columns are empty.")
    ] = True,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile whole steps with torch.compile. Compiling takes about a minute: for long runs."
        ),
    ] = False,
    fused: Annotated[
        bool,
        typer.Option(
            "--fused", help="Fused steps, by numba, for learned optimizers that have one. Numbers differ by rounding."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run, with a forecast of time and memory. Run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    log: Log = "",
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Run optimizers on tasks and write the results.

    Give a suite, or tasks with -t and optimizers with -o. With a suite, -t replaces its tasks and -o its optimizers.
    The same command resumes a run that was stopped, with any executor. It ends with its answer.

    Files in the results folder:
        manifest.json   suite, versions, machine
        cells/      one row for each seed, with its loss at every step
        tuning/     one row for each learning rate that was tried
        trials/     one row for each trial of a budget and each seed
        timing/     step times, measured one after the other
        pictures/   images, for tasks that have them
        heldout/    held-out metrics over the steps, for tasks that have them
        tensorboard/, …  with --log; see it with: tensorboard --logdir results
    Each folder has a Parquet file for each cell, and one, all.parquet, once the run has ended.

    Exit codes: 0 finished, 2 wrong usage, 3 a cell failed unexpectedly, 130 interrupted, 143 terminated.

    Examples:
        l2obench run quick
        l2obench run paper-mnist --dry-run
        l2obench run quick --log tensorboard
        l2obench run quick --tune budget=32 --out results/quick-budget
        l2obench run -t quadratic -o adam -o 'lstm[checkpoint=quadratic]' --seeds 20
        l2obench run quick -o mypackage.optimizers:MyOptimizer --executor local
    """
    if suite is None and not (task and optimizer):
        raise TyperException("a suite is required, or a task with -t and an optimizer with -o. Try: l2obench run quick")
    from l2obench.api.planning import plan_run
    from l2obench.bench.loggers.choice import read_tools

    tools = read_tools(log)
    name, plan = plan_run(
        suite,
        tasks=task,
        optimizers=optimizer,
        seeds=seeds,
        tune=tune,
        tuning_seeds=tuning_seeds,
        heldout_points=heldout_points,
        trained=trained,
    )
    choice = choose_executor(executor, workers, scheduler, resources)
    prepare_process(device, data_dir)

    from l2obench.api.execution import execute
    from l2obench.api.locating import RESULTS, name_matrix
    from l2obench.bench.config.run_options import RunOptions
    from l2obench.bench.rollout.memory import GIB

    cells = plan.cells()
    if suite is None:
        folder = out or RESULTS / name_matrix((cell.key[0] for cell in cells), (cell.key[1] for cell in cells))
    else:
        folder = out or RESULTS / name
    options = RunOptions(
        device=device,
        force=force,
        seeds_at_once=seeds_at_once,
        timeout=timeout,
        memory=None if memory is None else memory * GIB,
        timing=timing,
        compile=compile,
        fused=fused,
    )
    if dry_run:
        show_forecast(cells, folder, options, as_json)
        return
    command = shlex.join(["l2obench", *sys.argv[1:]])
    outcome = execute(name, plan, folder, choice, options, command, progress=not as_json, tools=tools)
    show_outcome(folder, outcome, as_json)
    for line in outcome.errors:
        print_error(line)
    if outcome.errors:
        raise typer.Exit(EXIT_FAILED)
