"""The training of an initialization: the outer loop, and the files that it writes.

It takes minutes, so it saves no state: one that is stopped begins anew.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.config.registry import identify, identify_functions, task_registry
from l2obench.bench.config.start_recipe import MethodName, StartRecipe
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.metatrain.meta_optimizer import adam_step, clip_by_norm, decay_learning_rate
from l2obench.bench.metatrain.starts.methods import Direction, Method, adapt, fomaml, maml, reptile
from l2obench.bench.metatrain.trainer import MAX_SETBACKS, MetaTrainingDiverged
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import Purpose, derive_seed, generator
from l2obench.bench.store.environment import commit, versions
from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.results_file import StoreError
from l2obench.optimizers.base import Optimizer, Tensors
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from l2obench.optimizers.learned.meta_sgd import MetaSGD
from l2obench.tasks.base import Task
from l2obench.tasks.start import encode_start

METHODS: dict[MethodName, Method] = {"maml": maml, "fomaml": fomaml, "reptile": reptile, "meta-sgd": maml}


@dataclass(frozen=True)
class LearnedStart:
    """The outcome of a training."""

    task: Task
    start: Tensors
    rates: Tensors
    """Learned rates of Meta-SGD; empty for other methods."""
    validation_loss: float
    """Mean loss after k steps on the validation functions."""
    seconds: float
    origin: Mapping[str, Any]
    """Versions and commit at the beginning of the training."""


def make_startable_task(identity: str) -> Task:
    """Make the task family of an identity, if it takes a learned start.

    Args:
        identity: of the task, such as `sinusoid`.

    Raises:
        RecipeError: it takes none.
    """
    task: Task = task_registry().create(identity)
    if "start" not in type(task).model_fields:
        raise RecipeError(f"the task must take a learned start, got {task.name}. Try: sinusoid")
    task.require_trainable()
    task.require_data()
    return task


def learn_start(recipe: StartRecipe, on_step: Callable[[int, float], Any] = lambda step, loss: None) -> LearnedStart:
    """Learn an initialization. An outer step whose direction is not finite is left out.

    Args:
        recipe: how to learn it.
        on_step: called after each outer step with its number and the loss after adaptation.

    Returns:
        The start, with its mean loss on the validation functions.

    Raises:
        RecipeError: the family takes no learned start.
        MetaTrainingDiverged: `MAX_SETBACKS` directions in a row were not finite.
    """
    began, origin, task = time.perf_counter(), {"versions": versions(), **commit()}, make_startable_task(recipe.task)
    learner, count, setbacks = _Learner.begin(recipe, task), recipe.functions, 0
    for step in range(recipe.trajectories):
        problems = _functions(task, "meta-training", recipe.seed * 10**9 + step * count, count)
        direction = METHODS[recipe.method](problems, learner.rule(), learner.part("start"), task.horizon)
        setbacks = 0 if direction.norm().isfinite() else setbacks + 1
        if setbacks == MAX_SETBACKS:
            raise MetaTrainingDiverged(
                f"{MAX_SETBACKS} outer steps in a row were not finite, the last at {step} of {recipe.trajectories}. "
                f"Try: a lower --lr than {recipe.lr:g}, or a lower --inner-lr than {recipe.inner_lr:g}"
            )
        if not setbacks:
            learner = learner.step(direction, step)
        on_step(step + 1, float(direction.loss))
    problems = _functions(task, "meta-validation", 0, recipe.validation_functions)
    with torch.no_grad():
        losses = adapt(problems, learner.rule(), learner.part("start"), task.horizon).losses
    seconds = time.perf_counter() - began
    return LearnedStart(task, learner.part("start"), learner.part("rates"), float(losses.mean()), seconds, origin)


@dataclass(frozen=True)
class _Learner:
    """The values that are learned, with Adam's averages: θ₀ as `start/…`, the rates of Meta-SGD as `rates/…`."""

    recipe: StartRecipe
    phi: Tensors
    mean: Tensors
    square: Tensors

    @classmethod
    def begin(cls, recipe: StartRecipe, task: Task) -> "_Learner":
        """The first values: the start of the task's functions, random or learned, and equal rates."""
        random = generator(derive_seed("meta-randomness", f"{identify_functions(task)}/start", recipe.seed))
        start = task.sample(random).params
        rates = start if recipe.method == "meta-sgd" else {}
        phi = _prefix_names(start, {name: torch.full_like(value, recipe.inner_lr) for name, value in rates.items()})
        zeros = {name: torch.zeros_like(value) for name, value in phi.items()}
        return cls(recipe, phi, zeros, dict(zeros))

    def part(self, kind: str) -> Tensors:
        """The tensors named `kind/…`."""
        prefix = f"{kind}/"
        return {name.removeprefix(prefix): value for name, value in self.phi.items() if name.startswith(prefix)}

    def rule(self) -> Optimizer:
        """The inner optimizer."""
        return _meta_sgd(self.part("rates")) if self.recipe.method == "meta-sgd" else SGD(lr=self.recipe.inner_lr)

    def step(self, direction: Direction, step: int) -> "_Learner":
        """The values after an outer step: against the direction itself with Reptile, by Adam with the other methods."""
        recipe, slopes = self.recipe, _prefix_names(direction.start, direction.rates)
        lr = decay_learning_rate(recipe.lr, recipe.final_lr, step, recipe.trajectories)
        if recipe.clip is not None:
            slopes = clip_by_norm(slopes, direction.norm(), recipe.clip)
        if recipe.method == "reptile":
            return replace(self, phi={name: value - lr * slopes[name] for name, value in self.phi.items()})
        return _Learner(recipe, *adam_step(self.phi, slopes, self.mean, self.square, step + 1, lr))


def write_start(folder: Path, recipe: StartRecipe, learned: LearnedStart, force: bool = False) -> list[Path]:
    """Write `start.safetensors`, and the rates of Meta-SGD as `checkpoint.safetensors`.

    Args:
        folder: it is made if it does not exist.
        recipe: goes into the files.
        learned: what `learn_start` gave.
        force: replace a start that the folder holds.

    Returns:
        The paths of the files.

    Raises:
        StoreError: the folder holds a start already, or cannot be written.
    """
    require_free(folder, force)
    about = {
        **recipe.model_dump(),
        "task": identify(learned.task),
        "task_version": learned.task.version,
        "validation_loss": learned.validation_loss,
        "trajectories_done": recipe.trajectories,
        "seconds": round(learned.seconds, 1),
        "sources": learned.task.sources(),
        **learned.origin,
    }
    files = {"start.safetensors": encode_start(about, learned.start)}
    if learned.rates:
        rule = _meta_sgd(learned.rates)
        files[CHECKPOINT] = encode_checkpoint(rule.name, rule.describe_architecture(), about, learned.rates)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
    return [folder / name for name in files]


def require_free(folder: Path, force: bool) -> None:
    """Refuse a folder that holds a start, unless it may be replaced.

    Args:
        folder: where the start is to be kept.
        force: it may be replaced.

    Raises:
        StoreError: it does.
    """
    if os.path.exists(folder / "start.safetensors") and not force:
        raise StoreError(f"{folder} holds a start already; choose another --out, or replace it with --force")


def _functions(task: Task, purpose: Purpose, first: int, count: int) -> Problems:
    return Problems(task, [derive_seed(purpose, identify_functions(task), first + k) for k in range(count)])


def _meta_sgd(rates: Tensors) -> MetaSGD:
    return MetaSGD(shapes={name: tuple(value.shape) for name, value in rates.items()}).with_meta_parameters(rates)


def _prefix_names(start: Tensors, rates: Tensors) -> Tensors:
    parts = {"start": start, "rates": rates}
    return {f"{kind}/{name}": value for kind, part in parts.items() for name, value in part.items()}
