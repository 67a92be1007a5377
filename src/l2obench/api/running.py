"""`l2obench.run`: every optimizer on every task, in one call."""

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.api.execution import execute
from l2obench.api.naming import BadArgument, optimizer_identities, require_known, task_identities
from l2obench.api.results import Results
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Suite, load_suite, make_suite
from l2obench.bench.process import main_module_kept_out, process_set_up
from l2obench.bench.rollout.memory import GIB
from l2obench.bench.run.executors.choice import ExecutorChoice, ExecutorName, choose_executor
from l2obench.bench.run.work import is_only_here

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer
    from l2obench.tasks.base import Task


def run(
    suite: str | Path | None = None,
    *,
    tasks: "str | type[Task] | Task | Sequence[str | type[Task] | Task] | None" = None,
    optimizers: "str | type | Optimizer | Sequence[str | type | Optimizer] | None" = None,
    seeds: int | None = None,
    tune: bool | None = None,
    heldout_points: int | None = None,
    out: str | Path | None = None,
    executor: str = "serial",
    workers: int | None = None,
    scheduler: str | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    timing: bool = True,
    compile: bool = False,
    device: str = "cpu",
    force: bool = False,
    progress: bool = True,
) -> Results:
    """Run optimizers on tasks, and keep every trajectory.

    Works in scripts without `if __name__ == "__main__"`, and in notebooks. A class that is defined there runs in this
    process; a class of a module of yours runs in a process that may hang or crash without harm.

    Args:
        suite: the name of a suite of l2obench, or the path of a .toml file; None: `tasks` and `optimizers`.
        tasks: identities, as in `"mnist-mlp[units=40]"`, classes or objects. With a suite they replace its own.
        optimizers: the same; also classes of `torch.optim`. With a suite they replace its own.
        seeds: evaluation seeds of every task; None: the suite's, or 20.
        tune: whether optimizers also run with a learning rate that is tuned for the task; None: as the suite says, or
            True.
        heldout_points: evaluations on held-out data over the steps, besides the start; None: as the suite says, or 10.
            No loss depends on it.
        out: the results folder. The same call goes on where an earlier one ended. None: a temporary folder, which is
            deleted together with the results.
        executor: `serial` (this process), `local` (the cores of this machine) or `dask`.
        workers: processes of `local` or `dask`; None: one for each core.
        scheduler: address of a running Dask scheduler, or its scheduler file.
        timeout: seconds that a step may take before its cell fails; None: 300 for plugins, else no limit.
        memory: GiB for replicas; None: half of what is free. Results do not depend on it.
        timing: measure step times before the first cell; without, their columns are empty.
        compile: compile whole steps with `torch.compile`; for long runs.
        device: the torch device, such as `"cuda:1"`.
        force: compute again what `out` already holds, and replace it.
        progress: show what is done.

    Returns:
        The results, those of an earlier call in the same folder among them. Cells that failed are rows with a reason.

    Raises:
        BadArgument: an argument is of the wrong kind.
        IdentityError, UnknownName, BadParameters: a name or a parameter is wrong; the message names the nearest.
        SuiteError: the suite does not exist, or a learned optimizer has no checkpoint.
        StoreError: `out` holds something else, or can't be written.

    Example:
        >>> results = run(tasks="quadratic", optimizers=["adam", "mnist"], seeds=2, tune=False, progress=False)
        >>> sorted(results.frame()["optimizer"])
        ['adam', 'lstm[checkpoint=mnist]']
    """
    name, plan = plan_run(suite, tasks, optimizers, seeds, tune, heldout_points)
    require_known("executor", executor, [item.value for item in ExecutorName])
    choice = choose_executor(ExecutorName(executor), workers, scheduler, None)
    _require_importable(plan, choice, timeout)
    options = RunOptions(
        device=device,
        force=force,
        timeout=timeout,
        memory=None if memory is None else memory * GIB,
        timing=timing,
        compile=compile,
    )
    temporary = None if out is not None else tempfile.TemporaryDirectory(prefix="l2obench-")
    folder = Path(temporary.name if temporary is not None else str(out))
    command = shlex.join(sys.argv) if sys.argv and sys.argv[0] else "python"
    with process_set_up(), main_module_kept_out():
        outcome = execute(name, plan, folder, choice, options, command, progress)
    return Results(folder, errors=outcome.errors, temporary=temporary)


def plan_run(
    suite: str | Path | None,
    tasks: Any,
    optimizers: Any,
    seeds: int | None,
    tune: bool | None,
    heldout_points: int | None = None,
) -> tuple[str, Suite]:
    """The name of a run, and what it runs.

    Raises:
        BadArgument, SuiteError, IdentityError, UnknownName, BadParameters: as `run` says.
    """
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise BadArgument(f"seeds must be a whole number from 1 on, got {seeds!r}. Try: seeds=20")
    if heldout_points is not None and (
        isinstance(heldout_points, bool) or not isinstance(heldout_points, int) or not 0 <= heldout_points <= 1000
    ):
        raise BadArgument(f"heldout_points must be a whole number from 0 to 1000, got {heldout_points!r}. Try: 10")
    if tune not in (None, True, False):
        raise BadArgument(f"tune must be True or False, got {tune!r}. Try: tune=True")
    task_names = None if tasks is None else task_identities(tasks)
    optimizer_names = None if optimizers is None else optimizer_identities(optimizers)
    tracks: dict[str, Any] = {} if tune is None else {"tracks": ["default", "tuned"] if tune else ["default"]}
    if suite is not None:
        plan = load_suite(str(suite)).narrow(task_names, optimizer_names, seeds, heldout_points)
        return Path(suite).stem, _with_tracks(plan, tracks)
    if task_names is None or optimizer_names is None:
        raise BadArgument(
            f"{'tasks' if task_names is None else 'optimizers'} must be given where no suite is, got None. "
            "Try: run('quick'), or run(tasks=['quadratic'], optimizers=['adam', 'lstm[checkpoint=quadratic]'])"
        )
    values = {"optimizers": optimizer_names, "tasks": [{"task": task} for task in task_names]}
    return "custom", make_suite("custom", values | tracks).narrow(None, None, seeds, heldout_points)


def _require_importable(plan: Suite, choice: ExecutorChoice, timeout: float | None) -> None:
    """Refuse a class that no other process can import where another process is to run it.

    Raises:
        BadArgument: there is one.
    """
    if choice.name is ExecutorName.serial and timeout is None:
        return
    option = "timeout" if choice.name is ExecutorName.serial else f"executor={choice.name.value!r}"
    for cell in plan.cells():
        for model in (cell.task, cell.optimizer):
            if is_only_here(model):
                raise BadArgument(
                    f"{option} needs classes that another process can import, got {model.name}. "
                    "Try: define the class in a module of its own and import it"
                )


def _with_tracks(plan: Suite, tracks: dict[str, Any]) -> Suite:
    parts = [_with_tracks(part, tracks) for part in plan.parts]
    return plan.model_copy(update={**tracks, "parts": parts})
