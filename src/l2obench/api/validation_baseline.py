"""The best tuned baseline on the validation functions of a training: what its validation loss is compared with.

It is computed once, before the first trajectory, and kept in the training's folder.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.measure.tuning import PROTOCOL, tune
from l2obench.bench.metatrain.estimators.perturbed_replicas import EvolutionStrategy
from l2obench.bench.metatrain.families import Family
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.metatrain.validation import validation_criterion
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import SEEDS_VERSION
from l2obench.bench.store.files import write_atomically
from l2obench.foundation.global_settings import settings_kept
from l2obench.foundation.regular_file import FileRefused, read_regular_file
from l2obench.optimizers.base import Optimizer

# On each task of suite `quick`, one of these has the lowest tuned loss of all baselines.
BASELINES = ("adam", "nag", "momentum")
# Fewer than a run's 10 or 20: this comparison is no result, and the training waits for it.
TUNING_SEEDS = 5
# Rates of the grid, of one extension, and of the half steps. It decides only whether the baselines are tuned at all.
RATES = 26
# Trajectories of all baselines, over those of the training. A baseline's trajectories run side by side and without a
# meta-gradient: at a quarter of the trajectories, three baselines took 7 s beside a training of two hours (mnist-mlp,
# recipe `paper`).
LARGEST_SHARE = 0.5
FILE = "baseline.json"
# A few lines for each family.
MAX_BYTES = 2**24


class FamilyBaseline(BaseModel):
    """The best baseline of one family."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    family: str
    optimizer: str
    lr: float
    final_loss: float | None
    """Mean final loss on the validation functions; None where every baseline diverges."""
    start_loss: float


class ValidationBaseline(BaseModel):
    """The best tuned baseline of each family that a training validates on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: dict[str, Any]
    """What decides the numbers."""
    families: list[FamilyBaseline]

    @property
    def validation(self) -> float:
        """The validation loss that a training with these final losses would have; infinite where all diverge."""
        finals = [math.inf if each.final_loss is None else each.final_loss for each in self.families]
        return validation_criterion(finals, [each.start_loss for each in self.families])

    @property
    def name(self) -> str:
        """The baseline with its learning rate; of several families, that each has its own."""
        best_of = f"the best of tuned {', '.join(BASELINES)}"
        if len(self.families) > 1:
            return f"{best_of} on each of {len(self.families)} families"
        (best,) = self.families
        return f"{best_of}: {best.optimizer} with lr {best.lr:.3g}"


def is_affordable(session: Session) -> bool:
    """Say whether tuning the baselines takes little beside the training.

    Args:
        session: the training.
    """
    recipe, trainer = session.recipe, session.trainer
    rates = RATES * TUNING_SEEDS + recipe.validation_functions
    needed = sum(len(BASELINES) * rates * family.task.horizon for family in trainer.validated)
    return needed <= LARGEST_SHARE * _count_training_steps(recipe, trainer)


def read_baseline(session: Session) -> ValidationBaseline | None:
    """Read what an earlier start computed; None where it computed nothing, or for other functions.

    Args:
        session: the training.
    """
    path = session.folder / FILE
    if not os.path.lexists(path):
        return None
    try:
        found = ValidationBaseline.model_validate_json(read_regular_file(path, MAX_BYTES))
    except (FileRefused, ValidationError):
        # It is computed again, which costs seconds.
        return None
    return found if found.description == _describe(session) else None


def compute_baseline(session: Session, on_start: Callable[[str], Any]) -> ValidationBaseline:
    """Tune the baselines on each family of the validation, and run them on the validation functions.

    Args:
        session: the training, in one process.
        on_start: called before a baseline is tuned, with words that say which, and on what.

    Returns:
        The best of each family. It is written into the training's folder.
    """
    with settings_kept():
        families = [_best_of_family(session, family, on_start) for family in session.trainer.validated]
    found = ValidationBaseline(description=_describe(session), families=families)
    write_atomically(Path(session.folder) / FILE, found.model_dump_json(indent=2).encode())
    return found


def _best_of_family(session: Session, family: Family, on_start: Callable[[str], Any]) -> FamilyBaseline:
    count, trainer = session.recipe.validation_functions, session.trainer
    seeds = family.seeds("meta-validation", trainer.trajectories.unit(0, count), count)
    options, best = RunOptions(device=trainer.device), None
    for name in BASELINES:
        on_start(f"tuning {name} on {family.identity}")
        rule = optimizer_registry().create(name)
        tuned = tune(family.task, rule, TUNING_SEEDS, options=options)
        losses = rollout(family.task, _with_lr(rule, tuned.lr), seeds, options=options, evaluate=False).losses
        final = float(family.task.final_loss(losses).mean())
        kept = final if math.isfinite(final) else None
        start = float(losses[..., 0].mean())
        found = FamilyBaseline(family=family.identity, optimizer=name, lr=tuned.lr, final_loss=kept, start_loss=start)
        if best is None or (kept is not None and (best.final_loss is None or kept < best.final_loss)):
            best = found
    assert best is not None
    return best


def _with_lr(rule: Optimizer, lr: float) -> Optimizer:
    return rule.model_copy(update={"lr": lr})


def _describe(session: Session) -> dict[str, Any]:
    trainer, recipe = session.trainer, session.recipe
    return {
        "families": {family.identity: family.task.version for family in trainer.validated},
        "functions": recipe.validation_functions,
        "seed": recipe.seed,
        "seeds_version": SEEDS_VERSION,
        "baselines": list(BASELINES),
        "tuning": PROTOCOL,
        "tuning_seeds": TUNING_SEEDS,
    }


def _count_training_steps(recipe: Recipe, trainer: Trainer) -> float:
    """Steps of all functions over a whole training; of each pair of evolution strategies two."""
    low, high = recipe.min_horizon, recipe.max_horizon
    steps = sum(family.task.horizon for family in trainer.families) / len(trainer.families)
    if low is not None and high is not None:
        # The mean of what is log-uniform.
        steps = (high - low) / math.log(high / low) if high > low else low
    estimator = trainer.estimator
    replicas = recipe.functions * (2 * estimator.pairs if isinstance(estimator, EvolutionStrategy) else 1)
    return recipe.trajectories * recipe.families * replicas * steps
