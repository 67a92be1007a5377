"""The pieces of work that a run is made of: from a task and optimizers to rows of plain values.

A job is done in this process or, asked for by name, in a worker's (`bench/run/worker.py`); hence only what JSON can
hold goes in and comes out. Each calls `alive` as it proceeds: with a name where a part begins, without one after a
step.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from l2obench.bench.config.registry import function_family
from l2obench.bench.contract.optimizer_requirements import check_optimizer
from l2obench.bench.contract.task_requirements import check_task
from l2obench.bench.measure import pictures, timing, tuning
from l2obench.bench.rollout.loop import Trajectories, rollout
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task


class Alive(Protocol):
    """How a job says that it proceeds."""

    def __call__(self, part: str | None = None) -> object: ...


Job = Callable[..., Any]


def time(task: Task, optimizers: Sequence[Optimizer], alive: Alive, *, device: str) -> list[dict[str, Any]]:
    """Rows of the serial wall-clock pass."""
    return timing.time_steps(task, optimizers, device, on_turn=alive)


def tune(
    task: Task,
    optimizers: Sequence[Optimizer],
    alive: Alive,
    *,
    count: int,
    halving: bool,
    device: str,
    compile: bool = False,
    memory: float | None = None,
) -> dict[str, Any]:
    """The fields of the `Tuning` of one optimizer, over `count` seeds."""
    (optimizer,) = optimizers
    chosen = tuning.tune(
        task,
        optimizer,
        count,
        halving=halving,
        device=device,
        compile=compile,
        memory=memory,
        on_rollout=alive,
        on_step=alive,
    )
    return dict(vars(chosen))


def evaluate(
    task: Task,
    optimizers: Sequence[Optimizer],
    alive: Alive,
    *,
    seeds: list[int],
    lr: float | None,
    device: str,
    compile: bool = False,
    memory: float | None = None,
) -> list[dict[str, Any]]:
    """What each of the evaluation seeds adds to its row, for one optimizer; `lr` is the tuned one."""
    (optimizer,) = optimizers
    rule = optimizer if lr is None else optimizer.model_copy(update={"lr": lr})
    derived = [derive_seed("evaluation", function_family(task), index) for index in seeds]
    kept = sum(index < pictures.SEEDS for index in seeds)
    result = rollout(task, rule, derived, device=device, on_step=alive, snapshots=kept, compile=compile, memory=memory)
    return [_outcome(task, result, k, seed) for k, seed in enumerate(derived)]


def check(task: Task | None, optimizers: Sequence[Optimizer], alive: Alive, *, name: str) -> str | None:
    """What a check of the contract says of a task or of one optimizer: nothing, or why it does not apply."""
    return check_optimizer(optimizers[0], name) if task is None else check_task(task, name)


JOBS: dict[str, Job] = {job.__name__: job for job in (time, tune, evaluate, check)}


def _outcome(task: Task, result: Trajectories, k: int, seed: int) -> dict[str, Any]:
    """What one seed's trajectory adds to its row. Every step costs one forward and one backward pass."""
    diverged = int(result.diverged_at[k, 0])
    losses = result.losses[k, 0]
    heldout = {name: float(value[k, 0]) for name, value in result.heldout.items()}
    return {
        "status": "ok" if diverged < 0 else "diverged",
        "reason": None if diverged < 0 else "the loss was not finite, or beyond 10⁶ times its start",
        "failed_step": None if diverged < 0 else diverged,
        "loss": losses.tolist(),
        "final_loss": float(task.final_loss(losses.double())),
        "heldout_loss": heldout.get("loss"),
        "heldout_accuracy": heldout.get("accuracy"),
        "forward_passes": task.horizon,
        "backward_passes": task.horizon,
        "state_bytes": result.state_bytes,
        "pictures": pictures.to_record(task, result, k, seed),
    }
