"""One task of a suite, with what differs from the suite's own settings."""

import itertools

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from l2obench.bench.config.identity import format_identity, parse_identity

MAX_SEEDS = 100_000
MAX_POINTS = 1000
"""Of a held-out curve."""


class SuiteError(ValueError):
    """A suite that does not exist, cannot be read, or does not make sense."""

    exit_code = 2


class SuiteTask(BaseModel):
    """One task of a suite, with what differs from the suite's own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    seeds: int | None = Field(default=None, ge=1, le=MAX_SEEDS)
    """Evaluation seeds on this task; none: the suite's."""
    tuning_seeds: int | None = Field(default=None, ge=1, le=10_000)
    """Tuning seeds on this task; none: the suite's."""
    heldout_points: int | None = Field(default=None, ge=0, le=MAX_POINTS)
    """Evaluations of held-out metrics on this task; none: the suite's."""
    optimizers: list[str] = []
    """Optimizers that run on this task besides the suite's."""
    unseen: list[str] = []
    """Parameters of the task that are held out from the learned optimizers named beside it: one that was trained on an
    overlapping value (some of the labels) is refused."""
    halving: bool = False
    """Tune by successive halving; for tasks too slow for the whole grid."""
    resources: dict[str, PositiveFloat] = {}
    """What a worker of a Dask cluster must offer for a cell of this task, by Dask's names, besides `--resources`."""
    grid: dict[str, list[str | bool | int | float]] = {}
    """Parameters of the task with the values that each takes: one task for every combination."""

    def identities(self) -> list[str]:
        """List the task with every combination of the grid's values.

        Example:
            >>> SuiteTask(task="mnist-mlp", grid={"units": [10, 40]}).identities()
            ['mnist-mlp[units=10]', 'mnist-mlp[units=40]']

        Raises:
            SuiteError: a parameter is given by the task's name as well.
        """
        name, parameters = parse_identity(self.task)
        if both := sorted(parameters.keys() & self.grid.keys()):
            raise SuiteError(f"{self.task}: {', '.join(both)} is in the task's name and in its grid. Try: one of them")
        combinations = itertools.product(*self.grid.values())
        return [
            format_identity(name, parameters | dict(zip(self.grid, values, strict=True))) for values in combinations
        ]
