"""`l2obench train-suite`: the trainings that a suite compares."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.options import DataDir, Device
from l2obench.bench.commands.process import set_up
from l2obench.bench.commands.training import finish


def train_suite(
    suite: Annotated[str, typer.Argument(help="A suite by name, or the path of a .toml file.")],
    only: Annotated[
        str, typer.Option(help="Of the trainings only those with such names, as in '*-u20-*'; for several at a time.")
    ] = "*",
    out: Annotated[
        Path | None, typer.Option(help="Folder, with one for each training; results/training/SUITE unless given.")
    ] = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
) -> None:
    """Meta-train what a suite compares: its [[trainings]], one after the other.

    The same command goes on where it was stopped. 'l2obench run SUITE --trained FOLDER' then runs what came out.
    """
    from l2obench.bench.config.suite import load_suite, training_folder
    from l2obench.bench.metatrain.session import Session

    set_up(device, data_dir)
    plan = load_suite(suite)
    recipes = dict(recipe for trainings in plan.trainings for recipe in trainings.recipes())
    if not (chosen := {name: recipe for name, recipe in recipes.items() if fnmatch(name, only)}):
        known = f"it has {len(recipes)}, such as {next(iter(recipes))}" if recipes else "it trains nothing"
        raise TyperException(f"suite {suite} has no training called {only}: {known}")
    for name, recipe in chosen.items():
        session = Session((out or training_folder(suite)) / name, recipe, device)
        finish(session, name)
        print(f"{name}: best validation loss {session.progress.best_validation:.5g}")
