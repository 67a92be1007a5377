"""`l2obench.run`: every optimizer on every task, in one call."""

import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from l2obench.api.execution import execute
from l2obench.api.naming import BadArgument, require_known
from l2obench.api.planning import plan_run
from l2obench.api.results import Results
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Suite
from l2obench.bench.loggers.choice import read_tools
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
    tune: bool | str | None = None,
    tuning_seeds: int | None = None,
    heldout_points: int | None = None,
    trained: str | Path | None = None,
    out: str | Path | None = None,
    executor: str = "serial",
    workers: int | None = None,
    scheduler: str | None = None,
    resources: str | Mapping[str, float] | None = None,
    seeds_at_once: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    timing: bool = True,
    compile: bool = False,
    fused: bool = False,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    force: bool = False,
    progress: bool = True,
    log: str | Sequence[str] = (),
) -> Results:
    """Run optimizers on tasks, and keep every trajectory.

    Works in scripts without `if __name__ == "__main__"`, and in notebooks. A class that is defined there runs in this
    process; a class of a module of yours runs in a process that may hang or crash without harm.

    Args:
        suite: the name of a suite of l2obench, or the path of a .toml file; None: `tasks` and `optimizers`.
        tasks: identities, as in `"mnist-mlp[units=40]"`, classes or objects. With a suite they replace its own;
            one that it has keeps its settings.
        optimizers: the same; also classes of `torch.optim`. With a suite they replace its own.
        seeds: evaluation seeds of every task; None: the suite's, or 20.
        tune: whether optimizers also run with a learning rate that is tuned for the task: True or `"grid"`, on a grid;
            `"halving"`, by successive halving, for slow tasks; False or `"off"`, not. `"budget=32"`: 32 quasi-random
            trials of all that each optimizer declares. None: as the suite says, or on a grid.
        tuning_seeds: functions on which a learning rate is chosen; None: the suite's, or 10.
        heldout_points: evaluations on held-out data over the steps, besides the start; None: as the suite says, or 10.
            No loss depends on it.
        trained: a folder of `l2obench train-suite`, whose checkpoints replace the shipped ones.
        out: the results folder. The same call goes on where an earlier one ended. None: a temporary folder, which is
            deleted together with the results.
        executor: `serial` (this process), `local` (the cores of this machine) or `dask`.
        workers: processes of `local` or `dask`; None: one for each core.
        scheduler: address of a running Dask scheduler, or its scheduler file.
        resources: what a Dask worker must offer for a cell, as in `{"GPU": 1}` or `"GPU=1,MEMORY=8e9"`.
        seeds_at_once: seeds in one rollout; fewer save memory. Results do not depend on it.
        timeout: seconds that a step may take before its cell fails; None: 300 for plugins, else no limit.
        memory: GiB for replicas; None: half of what is free. Results do not depend on it.
        timing: measure step times before the first cell; without, their columns are empty.
        compile: compile whole steps with `torch.compile`; for long runs.
        fused: learned optimizers that have a fused step use it on the CPU. It needs numba, and results say so.
        device: the torch device, such as `"cuda:1"`.
        data_dir: the folder of downloaded data; None: the environment variable `L2OBENCH_DATA`.
        force: compute again what `out` already holds, and replace it.
        progress: show what is done.
        log: where each cell is logged besides: `"tensorboard"`, `"wandb"`, `"mlflow"`, or several.

    Returns:
        The results, those of an earlier call in the same folder among them. Cells that failed are rows with a reason.

    Raises:
        BadArgument: an argument is of the wrong kind.
        IdentityError, UnknownName, BadParameters: a name or a parameter is wrong; the message names the nearest.
        SuiteError: the suite does not exist, or a learned optimizer has no checkpoint.
        StoreError: `out` holds something else, or can't be written.
        LogError: `log` names something else, or its package is not installed.
        ChoiceError, DeviceError: options of executors contradict each other, or the device does not work.

    Example:
        >>> results = run(tasks="quadratic", optimizers=["adam", "mnist"], seeds=2, tune=False, progress=False)
        >>> sorted(results.frame()["optimizer"])
        ['adam', 'lstm[checkpoint=mnist]']
    """
    tools = read_tools(log)
    name, plan = plan_run(
        suite,
        tasks=tasks,
        optimizers=optimizers,
        seeds=seeds,
        tune=tune,
        tuning_seeds=tuning_seeds,
        heldout_points=heldout_points,
        trained=trained,
    )
    require_known("executor", executor, [item.value for item in ExecutorName])
    amounts = (
        ",".join(f"{key}={amount}" for key, amount in resources.items())
        if isinstance(resources, Mapping)
        else resources
    )
    choice = choose_executor(ExecutorName(executor), workers, scheduler, amounts)
    _require_importable(plan, choice, timeout)
    options = RunOptions(
        device=device,
        force=force,
        seeds_at_once=seeds_at_once,
        timeout=timeout,
        memory=None if memory is None else memory * GIB,
        timing=timing,
        compile=compile,
        fused=fused,
    )
    temporary = None if out is not None else tempfile.TemporaryDirectory(prefix="l2obench-")
    folder = Path(temporary.name if temporary is not None else str(out))
    command = shlex.join(sys.argv) if sys.argv and sys.argv[0] else "python"
    with process_set_up(device, data_dir), main_module_kept_out():
        outcome = execute(name, plan, folder, choice, options, command, progress, tools)
    return Results(folder, errors=outcome.errors, temporary=temporary)


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
