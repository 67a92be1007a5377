"""The command line: `l2obench run | train | report | list | info | prepare`.

Exit codes: 0 fine, 2 usage, 3 a run failed unexpectedly, 130 interrupted. Heavy modules are imported by the commands
that need them, so that help and lists come at once.
"""

import datetime
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from bench.options import DataDir, Device, Force, Optimizers, Tasks, show_version

if TYPE_CHECKING:
    from bench.suite import Suite

EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 2, 3, 130

app = typer.Typer(
    name="l2obench",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets are part of identities
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Does a learned optimizer beat a well-tuned hand-designed one: where, by how much, at what cost?"""


@app.command()
def run(
    suite: Annotated[str | None, typer.Argument(help="A suite by name, or the path of a .toml file.")] = None,
    task: Tasks = None,
    optimizer: Optimizers = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Evaluation seeds for every task.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder; results/SUITE unless given.")] = None,
    force: Force = False,
    seeds_at_once: Annotated[
        int | None, typer.Option(min=1, help="Seeds in one rollout, to save memory; numbers do not depend on it.")
    ] = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Run the matrix of a suite, or one of -t and -o.

    With a suite, -t replaces its tasks and -o its optimizers. The same command goes on where it was stopped.
    """
    name, plan = _plan(suite, task, optimizer, seeds)
    _set_up(device, data_dir)

    from bench.progress import Lines
    from bench.runner import Runner
    from bench.store import Run

    folder = out or Path("results") / name
    lines = Lines()
    runner = Runner(
        Run(folder), plan.cells(), device=device, force=force, seeds_at_once=seeds_at_once, report=lines.show
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
    print(f"{folder}: {outcome.computed} cells computed, {outcome.found} found finished")
    for line in outcome.errors:
        _complain(line)
    if outcome.errors:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Results folders.")],
    to: Annotated[Path | None, typer.Option(help="Where the report goes; RUN/report unless given.")] = None,
) -> None:
    """Make tables, figures and a page from results.

    The page is one file that loads nothing. The headline is printed.
    """
    from reports.page import write_report

    target = to or runs[0] / "report"
    written = write_report(runs, target)
    print(written.headline)
    print(f"report: {target / 'index.html'}")


@app.command()
def train(
    rule: Annotated[str, typer.Argument(help="The learned optimizer, as in lstm or 'lstm[p=5]'.")],
    task: Annotated[str, typer.Option("-t", "--task", help="The family to train on.")],
    recipe: Annotated[
        str, typer.Option(help="Where values not given here come from; see 'l2obench list recipes'.")
    ] = "paper",
    out: Annotated[
        Path | None, typer.Option(help="Training folder; results/training/RULE-TASK-RECIPE unless given.")
    ] = None,
    trajectories: Annotated[int | None, typer.Option(help="Trajectories in all.")] = None,
    functions: Annotated[int | None, typer.Option(help="Functions in a meta-batch.")] = None,
    unroll: Annotated[int | None, typer.Option(help="Steps of a truncation.")] = None,
    weighting: Annotated[str | None, typer.Option(help="uniform, linear or final.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate on the meta-parameters.")] = None,
    clip: Annotated[float | None, typer.Option(help="Bound on the norm of the meta-gradient.")] = None,
    coordinates: Annotated[
        int | None, typer.Option(help="Coordinates of each tensor and function that carry a graph.")
    ] = None,
    validate_every: Annotated[int | None, typer.Option(help="Trajectories between validations.")] = None,
    validation_functions: Annotated[int | None, typer.Option(help="Functions of a validation.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed trains on other functions.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, replacing a training that is there.")] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Meta-train a learned optimizer.

    The best by validation is kept. The same command goes on where it was stopped.
    """
    from bench.metatrain.recipe import make_recipe, named_recipe
    from bench.metatrain.session import Session
    from bench.progress import Lines, training_line
    from bench.store import cell_name

    _set_up(device, data_dir)
    values = named_recipe(recipe, task) | {"task": task}
    if "[" in rule or values.get("optimizer", rule).partition("[")[0] != rule:
        values["optimizer"] = rule
    given = {
        "trajectories": trajectories,
        "functions": functions,
        "unroll": unroll,
        "weighting": weighting,
        "lr": lr,
        "clip": clip,
        "coordinates": coordinates,
        "validate_every": validate_every,
        "validation_functions": validation_functions,
        "seed": seed,
    }
    made = make_recipe(values | {key: value for key, value in given.items() if value is not None})
    session = Session(out or Path("results/training") / cell_name(rule, task, recipe), made, device, force)
    if session.resumed:
        print(f"going on at trajectory {session.progress.trajectory} of {made.trajectories}")
    lines = Lines(total=made.trajectories, completed=session.progress.trajectory)
    try:
        with lines:
            session.run(lambda progress: lines.advance(*training_line(progress, made.trajectories)))
    except KeyboardInterrupt:
        session.save()
        raise
    print(f"best validation loss {session.progress.best_validation:.5g}: {session.folder / 'checkpoint.safetensors'}")


@app.command("list")
def list_(
    what: Annotated[
        str | None, typer.Argument(help="tasks, optimizers, suites, checkpoints or recipes; all unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List what there is to run."""
    import optimizers
    from bench.metatrain.recipe import recipe_names
    from bench.registry import optimizer_registry, task_registry, unknown
    from bench.suite import load_suite, suite_names

    found: dict[str, dict[str, str]] = {
        "tasks": {name: entry.summary for name, entry in task_registry().entries.items()},
        "optimizers": {name: entry.summary for name, entry in optimizer_registry().entries.items()},
        "suites": {name: load_suite(name).description for name in suite_names()},
        "checkpoints": dict.fromkeys(optimizers.shipped_checkpoints(), "as in lstm[checkpoint=NAME]"),
        "recipes": dict.fromkeys(recipe_names(), "as in l2obench train lstm -t TASK --recipe NAME"),
    }
    if what is not None and what not in found:
        raise TyperException(unknown("list", what, found))
    shown = {what: found[what]} if what else found
    if as_json:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for title, entries in shown.items():
        print(title)
        for name, summary in entries.items():
            print(f"  {name:<18} {summary}")


@app.command()
def info(
    identity: Annotated[str | None, typer.Argument(help="A task, an optimizer, or nothing for this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Describe a task, an optimizer or this machine.

    Parameters with their meaning and, for a trained optimizer, its recipe.
    """
    from bench.info import describe, describe_machine, show

    facts = describe_machine() if identity is None else describe(identity)
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str) if as_json else show(facts))


@app.command()
def prepare(
    data: Annotated[
        list[str] | None, typer.Argument(help="mnist5k (in a wheel; the default) or mnist (a download).")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch data and check them.

    What is slow to parse is parsed once, so that runs start at once.
    """
    from bench.registry import unknown
    from tasks.data import data_dir as folder
    from tasks.data import digits, fetch_mnist

    _set_data_dir(data_dir)
    for name in data or ["mnist5k"]:
        if name not in ("mnist5k", "mnist"):
            raise TyperException(unknown("data set", name, ["mnist5k", "mnist"]))
        if name == "mnist":
            fetch_mnist(folder())
        train_split, test_split = digits(name, "train"), digits(name, "test")  # type: ignore[arg-type]
        print(f"{name}: {len(train_split.labels):,} train, {len(test_split.labels):,} test, ready in {folder()}")


def main() -> None:
    """Run the command line; every error that a user can cause ends in one line and an exit code."""
    sys.path.append(os.getcwd())  # where a dotted path such as `-o mine.MyRule` is looked for last
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        _complain(error.format_message())
        code = EXIT_USAGE
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception as error:
        # Errors that a user can cause say with which code they end; any other is a defect, shown with its traceback.
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        _complain(str(error))
    if code == EXIT_INTERRUPTED:
        _complain("interrupted; what is finished is kept, and the same command goes on from there")
    sys.exit(code or 0)


def _complain(message: str) -> None:
    print(f"l2obench: {' '.join(message.split())}", file=sys.stderr)


def _set_up(device: str, data_dir: Path | None) -> None:
    import torch

    from bench.process import set_up_process

    _set_data_dir(data_dir)
    set_up_process()
    try:
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError) as error:
        raise TyperException(f"--device {device} cannot be used here: {str(error).splitlines()[0]}") from error


def _set_data_dir(data_dir: Path | None) -> None:
    from tasks.data import DATA_DIR_VARIABLE

    if data_dir is not None:
        os.environ[DATA_DIR_VARIABLE] = str(data_dir)


def _plan(
    suite: str | None, tasks: list[str] | None, optimizers: list[str] | None, seeds: int | None
) -> "tuple[str, Suite]":
    """The name of the run and its matrix."""
    from bench.suite import load_suite, make_suite

    if suite is not None:
        return Path(suite).stem, load_suite(suite).narrowed(tasks, optimizers, seeds)
    if not (tasks and optimizers):
        raise TyperException("name a suite, or a task with -t and an optimizer with -o; see 'l2obench list'")
    plan = make_suite("custom", {"optimizers": optimizers, "tasks": [{"task": name} for name in tasks]})
    return "custom", plan.narrowed(None, None, seeds)
