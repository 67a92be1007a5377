"""The training of an initialization: the outer loop, and the files that it writes.

It takes minutes, so it saves no state: one that is stopped begins anew.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.config.registry import function_family, identity_of, task_registry
from l2obench.bench.config.start_recipe import MethodName, StartRecipe
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.metatrain.meta_optimizer import adam, clipped, decayed
from l2obench.bench.metatrain.starts.methods import Direction, Method, adapted, fomaml, maml, reptile
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
class Learned:
    """What a training ended with; `rates` are those of Meta-SGD, of other methods there are none."""

    task: Task
    start: Tensors
    rates: Tensors
    validation_loss: float
    """Mean loss after k steps on the validation functions."""
    seconds: float
    origin: Mapping[str, Any]
    """Versions and commit that the training began with."""


def startable(identity: str) -> Task:
    """The task of an identity, if its functions can be told where to begin.

    Raises:
        RecipeError: they cannot.
    """
    task: Task = task_registry().create(identity)
    if "start" not in type(task).model_fields:
        raise RecipeError(f"{task.name} takes no learned start: it has no parameter start, as sinusoid has")
    task.require_trainable()
    task.require_data()
    return task


def learn_start(recipe: StartRecipe, on_step: Callable[[int, float], Any] = lambda step, loss: None) -> Learned:
    """Learn an initialisation; after each outer step, its number and its loss after adaptation are told.

    An outer step whose direction is not finite is left out.

    Raises:
        RecipeError: the family takes no learned start.
        MetaTrainingDiverged: this happened `MAX_SETBACKS` times in a row.
    """
    began, origin, task = time.perf_counter(), {"versions": versions(), **commit()}, startable(recipe.task)
    learner, count, setbacks = _Learner.begun(recipe, task), recipe.functions, 0
    for step in range(recipe.trajectories):
        problems = _functions(task, "meta-training", recipe.seed * 10**9 + step * count, count)
        direction = METHODS[recipe.method](problems, learner.rule(), learner.part("start"), task.horizon)
        setbacks = 0 if direction.norm().isfinite() else setbacks + 1
        if setbacks == MAX_SETBACKS:
            raise MetaTrainingDiverged(
                f"{MAX_SETBACKS} outer steps in a row were not finite, the last at {step} of {recipe.trajectories}; "
                f"lower lr (now {recipe.lr:g}) or inner-lr (now {recipe.inner_lr:g})"
            )
        if not setbacks:
            learner = learner.stepped(direction, step)
        on_step(step + 1, float(direction.loss))
    problems = _functions(task, "meta-validation", 0, recipe.validation_functions)
    with torch.no_grad():
        losses = adapted(problems, learner.rule(), learner.part("start"), task.horizon).losses
    seconds = time.perf_counter() - began
    return Learned(task, learner.part("start"), learner.part("rates"), float(losses.mean()), seconds, origin)


@dataclass(frozen=True)
class _Learner:
    """What is learned, θ₀ as `start/…` and the rates of Meta-SGD as `rates/…`, with Adam's moments of it."""

    recipe: StartRecipe
    phi: Tensors
    mean: Tensors
    square: Tensors

    @classmethod
    def begun(cls, recipe: StartRecipe, task: Task) -> "_Learner":
        """Where learning begins: where the task's functions do, be that random or learned, and at equal rates."""
        random = generator(derive_seed("meta-randomness", f"{function_family(task)}/start", recipe.seed))
        start = task.sample(random).params
        rates = start if recipe.method == "meta-sgd" else {}
        phi = _joined(start, {name: torch.full_like(value, recipe.inner_lr) for name, value in rates.items()})
        zeros = {name: torch.zeros_like(value) for name, value in phi.items()}
        return cls(recipe, phi, zeros, dict(zeros))

    def part(self, kind: str) -> Tensors:
        """The tensors named `kind/…`."""
        prefix = f"{kind}/"
        return {name.removeprefix(prefix): value for name, value in self.phi.items() if name.startswith(prefix)}

    def rule(self) -> Optimizer:
        """Whose steps the start is for."""
        return _meta_sgd(self.part("rates")) if self.recipe.method == "meta-sgd" else SGD(lr=self.recipe.inner_lr)

    def stepped(self, direction: Direction, step: int) -> "_Learner":
        """This one after an outer step: along the direction itself with Reptile, by Adam with all others."""
        recipe, slopes = self.recipe, _joined(direction.start, direction.rates)
        lr = decayed(recipe.lr, recipe.final_lr, step, recipe.trajectories)
        if recipe.clip is not None:
            slopes = clipped(slopes, direction.norm(), recipe.clip)
        if recipe.method == "reptile":
            return replace(self, phi={name: value - lr * slopes[name] for name, value in self.phi.items()})
        return _Learner(recipe, *adam(self.phi, slopes, self.mean, self.square, step + 1, lr))


def write_start(folder: Path, recipe: StartRecipe, learned: Learned, force: bool = False) -> list[Path]:
    """Write `start.safetensors`, and the rates of Meta-SGD as `checkpoint.safetensors`; the files written.

    Raises:
        StoreError: the folder holds a start already, or cannot be written.
    """
    require_free(folder, force)
    about = {
        **recipe.model_dump(),
        "task": identity_of(learned.task),
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
    """Make sure that no earlier start would be replaced unasked.

    Raises:
        StoreError: there is one.
    """
    if (folder / "start.safetensors").exists() and not force:
        raise StoreError(f"{folder} holds a start already; choose another --out, or replace it with --force")


def _functions(task: Task, purpose: Purpose, first: int, count: int) -> Problems:
    return Problems(task, [derive_seed(purpose, function_family(task), first + k) for k in range(count)])


def _meta_sgd(rates: Tensors) -> MetaSGD:
    return MetaSGD(shapes={name: tuple(value.shape) for name, value in rates.items()}).with_meta_parameters(rates)


def _joined(start: Tensors, rates: Tensors) -> Tensors:
    parts = {"start": start, "rates": rates}
    return {f"{kind}/{name}": value for kind, part in parts.items() for name, value in part.items()}
