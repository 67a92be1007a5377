"""What a run computes, from the words that `l2obench.run` and the command `l2obench run` have in common.

It imports no report, which would delay the command.
"""

from pathlib import Path
from typing import Any

from l2obench.api.naming import BadArgument, optimizer_identities, require_known, task_identities
from l2obench.bench.config.budget import require_track
from l2obench.bench.config.suite import Suite, load_suite, make_suite
from l2obench.bench.config.tracks import WAYS, with_tuning


def plan_run(
    suite: str | Path | None,
    *,
    tasks: Any = None,
    optimizers: Any = None,
    seeds: int | None = None,
    tune: "bool | str | None" = None,
    tuning_seeds: int | None = None,
    heldout_points: int | None = None,
    trained: str | Path | None = None,
) -> tuple[str, Suite]:
    """Give the name of a run, and what it runs.

    Args:
        suite, tasks, optimizers, seeds, tune, tuning_seeds, heldout_points, trained: as `run` takes them.

    Raises:
        BadArgument, SuiteError, IdentityError, UnknownName, BadParameters: as `run` says.
    """
    for argument, number in (("seeds", seeds), ("tuning_seeds", tuning_seeds)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise BadArgument(f"{argument} must be a whole number from 1 on, got {number!r}. Try: {argument}=20")
    if heldout_points is not None and (
        isinstance(heldout_points, bool) or not isinstance(heldout_points, int) or not 0 <= heldout_points <= 1000
    ):
        raise BadArgument(f"heldout_points must be a whole number from 0 to 1000, got {heldout_points!r}. Try: 10")
    way = read_tune(tune)
    task_names = None if tasks is None else task_identities(tasks)
    optimizer_names = None if optimizers is None else optimizer_identities(optimizers)
    if suite is not None:
        name = Path(suite).stem
        plan = load_suite(str(suite)).narrow(task_names, optimizer_names, seeds, heldout_points)
    else:
        if task_names is None or optimizer_names is None:
            raise BadArgument(
                f"{'tasks' if task_names is None else 'optimizers'} must be given where no suite is, got None. "
                "Try: run('quick'), or run(tasks=['quadratic'], optimizers=['adam', 'lstm[checkpoint=quadratic]'])"
            )
        values = {"optimizers": optimizer_names, "tasks": [{"task": task} for task in task_names]}
        name = "custom"
        plan = make_suite(name, values).narrow(None, None, seeds, heldout_points)
    if trained is not None:
        if not plan.trainings:
            raise BadArgument(f"trained needs a suite with [[trainings]], got {name}. Try: leave trained out")
        plan = plan.with_checkpoints(Path(trained))
    return name, with_tuning(plan, way, tuning_seeds)


def read_tune(tune: "bool | str | None") -> str | None:
    """Give the way of tuning that an argument names: True is the grid, False is off.

    Args:
        tune: as `run` takes it.

    Raises:
        BadArgument: it names none.

    Example:
        >>> read_tune(True), read_tune("budget=32"), read_tune(None)
        ('grid', 'budget=32', None)
    """
    if tune is None:
        return None
    if isinstance(tune, bool):
        return "grid" if tune else "off"
    if "budget" in str(tune):
        try:
            return require_track(tune)
        except ValueError as error:
            raise BadArgument(f"tune: {error}") from error
    require_known("tune", tune, [*WAYS, "budget=N"])
    return tune
