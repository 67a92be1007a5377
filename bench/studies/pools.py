"""Real trajectories of a shipped checkpoint and of faulty copies, for the gate's error rates; resumable.

FOLDER/NAME/mistakes/*.safetensors    checkpoints with a fault in them
FOLDER/NAME/training/                 a short training, for checkpoints of its earlier epochs
FOLDER/NAME/run/                      a run: the gate's tasks under each of them
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from l2obench.bench.config.identity import format_identity
from l2obench.bench.config.recipe import Recipe, make_recipe
from l2obench.bench.config.registry import identify, optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell, load_suite
from l2obench.bench.metatrain.session import Session
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.studies.mistakes import WithoutPreprocessing, perturb, swap_gates
from l2obench.optimizers.learned.checkpoint import Checkpoint, encode_checkpoint, read_checkpoint

NOISE = 0.05
EARLIER = {"quadratic": 300, "mnist": 40}
"""Trajectories after which the training of a shipped checkpoint is stopped. More would take hours."""
SAVE_EVERY = 10


@dataclass(frozen=True)
class Pool:
    """The runs of a pool, and the pairs of optimizers in them to compare."""

    run: RunFolder
    rounded: RunFolder
    """The shipped checkpoint again in other batches of replicas, so that sums round in another order."""
    shipped: str
    mistakes: dict[str, list[tuple[str, str]]]
    """Name of the fault → pairs (BASE, HEAD), one for each draw."""


def build(name: str, folder: Path, draws: int, most_seeds: int, report: Callable[[str], Any]) -> Pool:
    """Compute the pool of the shipped checkpoint `name`, or the missing part of it.

    Args:
        name: a shipped checkpoint.
        folder: where pools are kept.
        draws: number of random perturbations of the weights.
        most_seeds: maximum number of seeds of a cell; comparisons are resampled from these.
        report: called with a line of progress.
    """
    here = folder / name
    (here / "mistakes").mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(name)
    shipped = format_identity(checkpoint.optimizer, {"checkpoint": name})
    swapped = _write_faulty(checkpoint, swap_gates(dict(checkpoint.tensors)), here / "mistakes/swapped.safetensors")
    mistakes = {"swapped gates in the LSTM": [(shipped, swapped)]}
    rules = [shipped, swapped]
    if checkpoint.hyperparameters["preprocessing"] != "none":
        dotted = f"{WithoutPreprocessing.__module__}.{WithoutPreprocessing.__name__}"
        without = _write_faulty(checkpoint, dict(checkpoint.tensors), here / "mistakes/raw.safetensors", dotted)
        mistakes["preprocessing left out"] = [(shipped, without)]
        rules.append(without)
    what, earlier = _train_earlier(name, checkpoint, here, report)
    mistakes[what] = [(shipped, earlier)]
    rules.append(earlier)
    noisy = []
    for k in range(draws):
        phi = perturb(dict(checkpoint.tensors), NOISE, torch.Generator().manual_seed(k))
        noisy.append(_write_faulty(checkpoint, phi, here / f"mistakes/noise-{k:02d}.safetensors"))
    mistakes[f"weights perturbed by {NOISE:.0%} noise"] = [(shipped, head) for head in noisy]

    optimizers = [optimizer_registry().create(rule) for rule in dict.fromkeys([*rules, *noisy])]
    gate = load_suite("gate").cells()
    tasks = [cell for cell in gate if identify(cell.optimizer) == shipped]
    cells = [
        Cell(at.task, optimizer, "default", min(at.seeds, most_seeds), at.tuning_seeds)
        for optimizer in optimizers
        for at in tasks
    ]
    run = RunFolder(here / "run")
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"suite": "gate", "description": f"the gate's error rates: {name}", "command": "", "started": started}
    Runner(run, cells, report=report).execute(about)
    rounded = RunFolder(here / "rounded")
    again = [cell for cell in cells if identify(cell.optimizer) == shipped]
    options = RunOptions(seeds_at_once=max(1, min(cell.seeds for cell in again) // 3))
    Runner(rounded, again, options, report=report).execute(about)
    return Pool(run, rounded, shipped, mistakes)


def _write_faulty(
    checkpoint: Checkpoint, tensors: dict[str, torch.Tensor], path: Path, optimizer: str | None = None
) -> str:
    """Write a checkpoint with other meta-parameters, or for another rule; return the identity that loads it."""
    name = optimizer or checkpoint.optimizer
    write_atomically(path, encode_checkpoint(name, checkpoint.hyperparameters, checkpoint.recipe, tensors))
    return format_identity(name, {"checkpoint": str(path)})


def _train_earlier(name: str, checkpoint: Checkpoint, here: Path, report: Callable[[str], Any]) -> tuple[str, str]:
    """An earlier state of the shipped checkpoint's training, by its own recipe: a description and its identity."""
    values = {key: value for key, value in checkpoint.recipe.items() if key in Recipe.model_fields}
    session = Session(here / "training", make_recipe(values))
    while (done := session.progress.trajectory) < EARLIER[name]:
        session.progress = session.trainer.run_trajectory(session.progress)
        if (done + 1) % SAVE_EVERY == 0:
            session.save()
            report(f"{name}: trained again up to trajectory {done + 1} of {EARLIER[name]}")
    what = f"a checkpoint of trajectory {EARLIER[name]:,} of {session.recipe.trajectories:,}"
    return what, _write_faulty(checkpoint, dict(session.progress.phi), here / "mistakes/earlier.safetensors")
