"""`l2obench train-suite`: the meta-trainings that a suite compares."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import complete_suite
from l2obench.bench.commands.options import DataDir, Device
from l2obench.bench.commands.process import prepare_process


def train_suite(
    suite: Annotated[
        str,
        typer.Argument(
            help="Suite by name, or the path of a .toml file. See: l2obench list suites",
            autocompletion=complete_suite,
        ),
    ],
    only: Annotated[str, typer.Option(help="Pattern of names: train only those, for example '*-u20-*'.")] = "*",
    out: Annotated[
        Path | None, typer.Option(help="Folder, with one training folder for each.  [default: results/training/SUITE]")
    ] = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Meta-train all learned optimizers that a suite compares.

    It trains the [[trainings]] of the suite, one after the other. The same command resumes where it was stopped. To
    train several at a time, start it in several shells with different --only.

    Files: one training folder for each training, as l2obench train writes it.

    Exit codes: 0 finished, 2 wrong usage, 3 a training diverged, 130 interrupted, 143 terminated.

    Examples:
        l2obench train-suite truncation
        l2obench run truncation --trained results/training/truncation
    """
    from l2obench.api.training_session import train_to_end
    from l2obench.bench.config.suite import load_suite
    from l2obench.bench.config.suite_text import training_folder
    from l2obench.bench.metatrain.session import Session

    prepare_process(device, data_dir)
    plan = load_suite(suite)
    recipes = dict(recipe for trainings in plan.trainings for recipe in trainings.recipes())
    if not (selected := {name: recipe for name, recipe in recipes.items() if fnmatch(name, only)}):
        known = f"it has {len(recipes)}, such as {next(iter(recipes))}" if recipes else "it trains nothing"
        raise TyperException(f"--only must match a training of suite {suite}, got {only}: {known}")
    for name, recipe in selected.items():
        session = Session((out or training_folder(suite)) / name, recipe, device)
        train_to_end(session, name)
        print(f"{name}: best validation loss {session.progress.best_validation:.5g}")
