"""The jobs that a run is made of: each takes a task and optimizers, and returns plain values.

A job runs in this process or, asked for by name, in a worker's (`bench/run/worker.py`). So only what JSON can hold
goes in and comes out. Each job calls `progress` as it proceeds: with a name where a part begins, without one after a
step.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

from l2obench.bench.config.registry import identify, identify_functions, optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.contract.optimizer_requirements import require_of_optimizer
from l2obench.bench.contract.task_requirements import require_of_task
from l2obench.bench.failures import Failure, classify_error, from_model
from l2obench.bench.measure import heldout, pictures, timing, trial
from l2obench.bench.measure.load import LoadWatch
from l2obench.bench.measure.trials import with_hyperparameters
from l2obench.bench.rollout.loop import Trajectories, rollout
from l2obench.bench.rollout.repetition import repeats
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.run.tuning_jobs import search, tune
from l2obench.foundation.global_settings import seeded
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.fused.rule import fused
from l2obench.tasks.base import Task

NAMING = ("seeds", "lr", "count", "name", "track")
"""Arguments that tell jobs of the same task and optimizers apart."""
DIVERGED = "the loss was not finite, or beyond 10⁶ times its start"


class Progress(Protocol):
    """How a job says that it proceeds, so that one that hangs differs from one that is slow."""

    def __call__(self, part: str | None = None) -> object: ...


Job = Callable[..., Any]


def time(
    task: Task, optimizers: Sequence[Optimizer], progress: Progress, *, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Time a step of each optimizer on a task.

    Args:
        task: the family; one function of it is used.
        optimizers: all that are compared on the task, since they take turns.
        progress: called with the name of the optimizer whose turn begins.
        options: the fields of `RunOptions`.

    Returns:
        Rows of `timing`, one for each optimizer, with what other processes did meanwhile.
    """
    given = RunOptions(**options)
    members = [fused(optimizer) for optimizer in optimizers] if given.uses_fused_steps else optimizers
    with LoadWatch() as watch:
        rows = timing.time_steps(task, members, given.device, on_turn=progress)
    replicas = None
    with contextlib.suppress(Exception):  # a plugin's task that cannot be evaluated says so in every row
        replicas = task.runs_one_by_one()
    return [row | watch.load.columns() | {"replicas": replicas} for row in rows]


def evaluate(
    task: Task,
    optimizers: Sequence[Optimizer],
    progress: Progress,
    *,
    seeds: list[int],
    lr: float | None,
    options: Mapping[str, Any],
    heldout_points: int = 0,
    chosen: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Run one optimizer on evaluation seeds.

    Args:
        task: the family.
        optimizers: one.
        progress: called after each step.
        seeds: indices of evaluation seeds.
        lr: the tuned learning rate; None: the optimizer's own.
        options: the fields of `RunOptions`.
        heldout_points: evaluations of held-out metrics after the start; 0: only at the last step.
        chosen: hyperparameters that a search chose; None: the optimizer's own.

    Returns:
        What each seed adds to its row of `cells`, in the order of `seeds`.
    """
    (optimizer,) = optimizers
    rule = optimizer if lr is None else optimizer.model_copy(update={"lr": lr})
    if chosen is not None:
        rule = with_hyperparameters(optimizer, chosen, task)
    derived = [derive_seed("evaluation", identify_functions(task), index) for index in seeds]
    kept = sum(index < pictures.SEEDS for index in seeds)
    result = rollout(
        task,
        rule,
        derived,
        options=RunOptions(**options),
        heldout_points=heldout_points,
        on_step=progress,
        snapshots=kept,
        prove=True,
    )
    # Ours draw from generators that they are given, which the tests of each hold them to.
    again = None
    if is_foreign(optimizer):
        again = repeats(task, lambda: _make_anew(rule, task), derived[0], options["device"], progress)
    return [_make_outcome(task, result, k, seed) | {"repeats": again} for k, seed in enumerate(derived)]


def try_out(
    task: Task,
    optimizers: Sequence[Optimizer],
    progress: Progress,
    *,
    count: int,
    tuning_count: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Take a few steps of one optimizer, for a forecast.

    Args:
        task: the family.
        optimizers: one.
        progress: called after each step.
        count: evaluation seeds.
        tuning_count: tuning seeds; 0: it is not tuned.
        options: the fields of `RunOptions`.

    Returns:
        `evaluation`, `tuning` (None where it is not tuned) and `single`, one replica: the fields of a `Trial`;
        `replica_bytes`: what all replicas take; `took_seconds`: all of this.
    """
    (optimizer,) = optimizers
    given = RunOptions(**options)
    began = perf_counter()
    # The first rollout of a process is slower, since libraries are loaded. It is the one that is not long anyway.
    single = trial.try_rollout(task, optimizer, 1, 1, given, progress)
    evaluation = trial.try_rollout(task, optimizer, count, 1, given, progress)
    tuned = None
    if tuning_count:
        tuned = trial.try_rollout(task.for_tuning(), optimizer, tuning_count, trial.RATES, given, progress)
    return {
        "single": vars(single),
        "evaluation": vars(evaluation),
        "tuning": tuned and vars(tuned),
        "replica_bytes": trial.replica_bytes(task, optimizer, count, tuning_count),
        "took_seconds": perf_counter() - began,
    }


def require(task: Task | None, optimizers: Sequence[Optimizer], progress: Progress, *, name: str) -> str | None:
    """Hold a task, or one optimizer, to one requirement of the contract.

    Args:
        task: the task that is asked; None: the optimizer is asked.
        optimizers: one, where no task is asked.
        progress: not called.
        name: of the requirement.

    Returns:
        None where it is met; why it does not apply, where it does not.

    Raises:
        ContractBroken: it is not met.
        Failure: it is not met, and the error says what its author must write.
    """
    try:
        with from_model:
            return require_of_optimizer(optimizers[0], name) if task is None else require_of_task(task, name)
    except Exception as error:
        # Elsewhere an error with an exit code is a mistake in what was asked for, and ends the command.
        if hasattr(error, "exit_code"):
            raise Failure("error", str(error)) from error
        raise


def run_job(
    job: Job, task: Task | None, optimizers: Sequence[Optimizer], progress: Progress, arguments: Mapping[str, Any]
) -> Any:
    """Run a job, with the global generators set from what it is, and with the settings of the process kept.

    Two runs of the same job so give equal numbers, also where a plugin draws from the global generators.

    Args:
        job: one of `JOBS`.
        task: the task, where the job has one.
        optimizers: the optimizers.
        progress: called as the job proceeds.
        arguments: the job's keyword arguments.

    Returns:
        What the job returns.

    Raises:
        Failure: the task's or an optimizer's own code failed.
        RunStopped: anything else did.
    """
    known = {name: value for name, value in arguments.items() if name in NAMING}
    if arguments.get("chosen") is not None:
        known |= {"chosen": arguments["chosen"]}
    models: list[Task | Optimizer] = [*([] if task is None else [task]), *optimizers]
    foreign = any(is_foreign(model) for model in models)
    name = json.dumps([job.__name__, *map(identify, models), known], sort_keys=True)
    try:
        with seeded(name):
            return job(task, optimizers, progress, **arguments)
    except Exception as error:
        raise classify_error(error, foreign=foreign) from error


def is_foreign(model: Task | Optimizer) -> bool:
    """Say whether a task or an optimizer comes from a plugin or a dotted path.

    Args:
        model: the task or the optimizer.
    """
    registry = task_registry() if isinstance(model, Task) else optimizer_registry()
    return registry.foreign(model.name)


JOBS: dict[str, Job] = {job.__name__: job for job in (time, tune, search, evaluate, try_out, require)}
"""Jobs by the names under which another process is asked for them."""


def _make_anew(rule: Optimizer, task: Task) -> Optimizer:
    """The optimizer as another process would make it, from its identity."""
    made: Optimizer = optimizer_registry().create(identify(rule))
    return made.for_groups(task.groups)


def _make_outcome(task: Task, result: Trajectories, k: int, seed: int) -> dict[str, Any]:
    """What one seed's trajectory adds to its row. Every step costs one forward and one backward pass."""
    diverged = int(result.diverged_at[k, 0])
    losses = result.losses[k, 0]
    with from_model:
        metrics = {name: float(value[k, 0]) for name, value in result.heldout.items()}
        # In float64: the mean of float32 losses would round differently with the order of summation.
        final_loss = float(task.final_loss(losses.double()))
    return {
        "status": "ok" if diverged < 0 else "diverged",
        "reason": None if diverged < 0 else DIVERGED,
        "failed_step": None if diverged < 0 else diverged,
        "loss": losses.tolist(),
        "final_loss": final_loss,
        "heldout_loss": metrics.get("loss"),
        "heldout_accuracy": metrics.get("accuracy"),
        "heldout_metrics": _other_metrics(metrics),
        "function_sha256": result.function_hashes[k],
        "forward_passes": task.horizon,
        "backward_passes": task.horizon,
        "state_bytes": result.state_bytes,
        "pictures": pictures.to_record(task, result, k, seed),
        "heldout_curves": heldout.to_record(result, k),
    }


def _other_metrics(metrics: Mapping[str, float]) -> str | None:
    """Held-out metrics without a column of their own, as JSON."""
    others = {name: value for name, value in sorted(metrics.items()) if name not in ("loss", "accuracy")}
    return json.dumps(others) if others else None
