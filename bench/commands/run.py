"""`l2obench run`: the matrix of a suite."""

import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.executors import ExecutorName, chosen
from l2obench.bench.commands.options import DataDir, Device, Force, Optimizers, Tasks, check_timeout
from l2obench.bench.commands.process import EXIT_FAILED, complain, set_up

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Suite


def run(
    suite: Annotated[str | None, typer.Argument(help="A suite by name, or the path of a .toml file.")] = None,
    task: Tasks = None,
    optimizer: Optimizers = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Evaluation seeds for every task.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder; results/SUITE unless given.")] = None,
    force: Force = False,
    trained: Annotated[
        Path | None,
        typer.Option(help="Folder of 'l2obench train-suite', whose checkpoints run in place of the shipped ones."),
    ] = None,
    seeds_at_once: Annotated[
        int | None, typer.Option(min=1, help="Seeds in one rollout, to save memory; numbers do not depend on it.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            callback=check_timeout,
            help="Seconds a step may take before its cell is given up; 300 for plugins unless given.",
        ),
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="Where cells run: in this process, on this machine's cores, or on Dask.")
    ] = ExecutorName.serial,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for 'local', or for 'dask' without --scheduler; one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A running Dask: tcp://HOST:8786, or its scheduler file. Implies 'dask'.")
    ] = None,
    resources: Annotated[
        str | None, typer.Option(help="What a Dask worker must offer for a cell, as in GPU=1,MEMORY=8e9.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0.0, help="GiB for replicas, half of what is free unless given; numbers do not depend on it."),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Make one program of whole steps: a minute first, worth it for long runs."),
    ] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Run the matrix of a suite, or one of -t and -o.

    With a suite, -t replaces its tasks and -o its optimizers. The same command goes on where it was stopped, whichever
    executor it names.
    """
    name, plan = _plan(suite, task, optimizer, seeds)
    if trained is not None:
        if not plan.trainings:
            raise TyperException(f"{name} has no trainings whose checkpoints --trained could give; leave it out")
        plan = plan.with_checkpoints(trained)
    choice = chosen(executor, workers, scheduler, resources)
    set_up(device, data_dir)

    from l2obench.bench.commands.progress import ProgressDisplay
    from l2obench.bench.rollout.memory import GIB
    from l2obench.bench.run.runner import Runner
    from l2obench.bench.store.run_folder import RunFolder

    folder = out or Path("results") / name
    lines = ProgressDisplay("running")
    cells = plan.cells()
    place = choice.executor(cells, timeout, lines.show)
    runner = Runner(
        RunFolder(folder),
        cells,
        device=device,
        force=force,
        seeds_at_once=seeds_at_once,
        timeout=timeout,
        executor=place,
        memory=None if memory is None else memory * GIB,
        compile=compile,
        report=lines.show,
        progress=lambda done, planned: lines.count(done, planned, place.places()),
    )
    with lines:
        outcome = runner.execute(
            {
                "suite": name,
                "description": plan.description,
                "command": shlex.join(["l2obench", *sys.argv[1:]]),
                "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
        )
    took = (
        f" in {outcome.cells_seconds:.0f} s, after {outcome.clocks_seconds:.0f} s of clocks" if outcome.computed else ""
    )
    print(f"{folder}: {outcome.computed} cells computed{took}, {outcome.found} found finished")
    for line in outcome.errors:
        complain(line)
    if outcome.errors:
        raise typer.Exit(EXIT_FAILED)


def _plan(
    suite: str | None, tasks: list[str] | None, optimizers: list[str] | None, seeds: int | None
) -> "tuple[str, Suite]":
    """The name of the run and its matrix."""
    from l2obench.bench.config.suite import load_suite, make_suite

    if suite is not None:
        return Path(suite).stem, load_suite(suite).narrowed(tasks, optimizers, seeds)
    if not (tasks and optimizers):
        raise TyperException("name a suite, or a task with -t and an optimizer with -o; see 'l2obench list'")
    plan = make_suite("custom", {"optimizers": optimizers, "tasks": [{"task": name} for name in tasks]})
    return "custom", plan.narrowed(None, None, seeds)
