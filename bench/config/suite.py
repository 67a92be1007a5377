"""Suites: which optimizers run on which tasks, with how many seeds. They are TOML, and read before anything runs."""

import itertools
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import identify, optimizer_registry, task_registry
from l2obench.bench.config.suite_size import count_suites, require_possible
from l2obench.bench.config.suite_task import MAX_POINTS, MAX_SEEDS, SuiteTask
from l2obench.bench.config.suite_task import SuiteError as SuiteError  # part of this page: commands import it from here
from l2obench.bench.config.suite_text import read_suite
from l2obench.bench.config.tracks import Track, tracks_of
from l2obench.bench.config.trainings import CHECKPOINT, Trainings, with_common
from l2obench.foundation.errors import describe_findings
from l2obench.foundation.names import explain_unknown

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer
    from l2obench.tasks.base import Task

# A suite that includes many others often would unfold to more than any suite; ours include ten.
MAX_INCLUDED = 100


class Suite(BaseModel):
    """A matrix of tasks and optimizers.

    Example:
        >>> suite = make_suite("demo", {"optimizers": ["adam"], "tasks": [{"task": "quadratic"}], "seeds": 5})
        >>> [cell.key for cell in suite.cells()]
        [('quadratic', 'adam', 'default'), ('quadratic', 'adam', 'tuned')]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    """What the suite is for, in a line."""
    seeds: int = Field(default=20, ge=1, le=MAX_SEEDS)
    """Evaluation seeds on each task."""
    tuning_seeds: int = Field(default=10, ge=1, le=10_000)
    """Functions on which the track `tuned` chooses its learning rate."""
    heldout_points: int = Field(default=10, ge=0, le=MAX_POINTS)
    """Evaluations of held-out metrics after the start, evenly spaced over the steps; 0: only at the last step."""
    tracks: list[Track] = Field(default=["default", "tuned"], min_length=1)
    """`default` runs an optimizer as it is named; `tuned` tunes its learning rate first, where it has one and none is
    given: `sgd[lr=0.1]` runs as `default`. `budget=N` searches all that the optimizer declares, in N trials."""
    optimizers: list[str] = []
    """Identities of the optimizers that run on every task."""
    trainings: list[Trainings] = []
    """Trainings whose checkpoints run on every task, besides `optimizers`; `l2obench train-suite` does them. What
    all of them have, a suite may say once, under `each_training`."""
    checkpoints: str = "{name}"
    """Where the checkpoint of each training is: where `l2obench train-suite` writes it, unless given, or for a suite of
    the package among the shipped checkpoints."""
    tasks: list[SuiteTask] = []
    """The tasks, each with what differs from the suite's own settings."""
    parts: list["Suite"] = []
    """Suites that run as parts of this one, each with its own settings: those that `include` names."""

    @model_validator(mode="before")
    @classmethod
    def _each_training(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "each_training" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "each_training"}
        return rest | {"trainings": with_common(values["each_training"], values.get("trainings"))}

    @model_validator(mode="after")
    def _not_empty(self) -> "Suite":
        if not self.tasks and not self.parts:
            raise ValueError("it has neither tasks nor suites to include")
        return self

    def narrow(
        self,
        tasks: list[str] | None,
        optimizers: list[str] | None,
        seeds: int | None,
        heldout_points: int | None = None,
    ) -> "Suite":
        """Narrow the suite as `l2obench run SUITE -t … -o … --seeds …` does.

        Args:
            tasks: identities in place of the suite's tasks; one that the suite has keeps what the suite says of it.
                None: its own.
            optimizers: identities in place of the suite's optimizers and trainings; None: its own.
            seeds: evaluation seeds on every task; None: the suite's.
            heldout_points: evaluations of held-out metrics on every task; None: the suite's.

        Raises:
            SuiteError: there would be too many seeds.
            IdentityError, UnknownName, BadParameters: a task's name or parameter is wrong.
        """
        if seeds is not None and not 1 <= seeds <= MAX_SEEDS:
            raise SuiteError(f"seeds must be from 1 to {MAX_SEEDS:,}, got {seeds:,}")
        whole = self._with_tasks(tasks) if tasks else self
        kept, parts = whole.tasks, [part.narrow(None, optimizers, seeds, heldout_points) for part in whole.parts]
        if optimizers:
            kept = [item.model_copy(update={"optimizers": []}) for item in kept]
        if seeds:
            kept = [item.model_copy(update={"seeds": seeds}) for item in kept]
        if heldout_points is not None:
            kept = [item.model_copy(update={"heldout_points": heldout_points}) for item in kept]
        changes: dict[str, Any] = {"tasks": kept, "parts": parts}
        others: dict[str, Any] = {"optimizers": optimizers, "trainings": []} if optimizers else {}
        return self.model_copy(update=changes | others)

    def _with_tasks(self, names: list[str]) -> "Suite":
        """These tasks, as the suite or a part of it has them; those that neither has come last."""
        wanted = {identify(task_registry().create(name)): name for name in names}
        kept = self._only(wanted)
        known = kept._task_identities()
        new = [SuiteTask(task=name) for identity, name in wanted.items() if identity not in known]
        return kept.model_copy(update={"tasks": [*kept.tasks, *new]})

    def _only(self, wanted: Container[str]) -> "Suite":
        tasks = [
            item.model_copy(update={"task": identity, "grid": {}})
            for item in self.tasks
            for name in item.identities()
            if (identity := identify(task_registry().create(name))) in wanted
        ]
        return self.model_copy(update={"tasks": tasks, "parts": [part._only(wanted) for part in self.parts]})

    def _task_identities(self) -> set[str]:
        return {item.task for item in self.tasks}.union(*(part._task_identities() for part in self.parts))

    def with_checkpoints(self, folder: Path) -> "Suite":
        """Take the checkpoints of the suite's trainings from a folder of `l2obench train-suite`.

        Args:
            folder: one folder in it for each training, by its name.
        """
        return self.model_copy(update={"checkpoints": str(folder / "{name}" / CHECKPOINT)})

    def trained(self) -> list[str]:
        """List the identities of the optimizers that the trainings give."""
        return [
            training.optimizer(self.checkpoints.replace("{name}", name))
            for training in self.trainings
            for name, _ in training.recipes()
        ]

    def cells(self) -> list["Cell"]:
        """List every cell, in the order of the file. A task or optimizer that is named twice counts once.

        Raises:
            IdentityError, UnknownName, BadParameters: a name or parameter in the suite is wrong.
            SuiteError: a task has no optimizer.
            TooLarge: there would be too many.
        """
        require_possible(self)
        everywhere = [*self.optimizers, *self.trained()]
        own = (
            cell for item in self.tasks for name in item.identities() for cell in self._cells_of(item, name, everywhere)
        )
        cells = {cell.key: cell for cell in own}
        for part in self.parts:
            cells = {cell.key: cell for cell in part.cells()} | cells
        return list(cells.values())

    def _cells_of(self, item: SuiteTask, identity: str, everywhere: list[str]) -> Iterator["Cell"]:
        task = task_registry().create(identity)
        names = [*everywhere, *item.optimizers]
        if not names:
            raise SuiteError(f"task {identity} has no optimizers. Try: name some in the suite, or with -o")
        for name in names:
            optimizer = optimizer_registry().create(name)
            _refuse_untrained(optimizer)
            if name in item.optimizers:
                _refuse_seen(task, item.unseen, optimizer)
            try:
                optimizer = optimizer.for_groups(task.groups)
            except ValueError as error:
                raise SuiteError(f"{identity}: {error}") from error
            for track in tracks_of(optimizer, self.tracks):
                seeds, tuning_seeds = item.seeds or self.seeds, item.tuning_seeds or self.tuning_seeds
                points = self.heldout_points if item.heldout_points is None else item.heldout_points
                yield Cell(task, optimizer, track, seeds, tuning_seeds, item.halving, item.resources, points)


@dataclass(frozen=True)
class Cell:
    """One task under one optimizer in one track: what a results file holds."""

    task: "Task"
    optimizer: "Optimizer"
    track: str
    """`default`, `tuned`, `budget=N` or `heldout-budget=N`."""
    seeds: int
    """Evaluation seeds."""
    tuning_seeds: int
    """Tuning seeds; no others than these choose hyperparameters."""
    halving: bool = False
    """Whether its learning rate is tuned by successive halving."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a worker of a cluster must offer to compute it."""
    heldout_points: int = 10
    """Evaluations of held-out metrics after the start. They decide no loss."""

    @cached_property
    def key(self) -> tuple[str, str, str]:
        """Identity of the task, identity of the optimizer, and track."""
        return identify(self.task), identify(self.optimizer), self.track


def _refuse_untrained(optimizer: "Optimizer") -> None:
    from l2obench.optimizers.learned.base import LearnedOptimizer

    if isinstance(optimizer, LearnedOptimizer):
        try:
            optimizer.require_trained()
        except ValueError as error:
            raise SuiteError(str(error)) from error


def _refuse_seen(task: "Task", unseen: list[str], optimizer: "Optimizer") -> None:
    """Refuse a learned optimizer that was trained on what the suite says it never saw."""
    from l2obench.optimizers.learned.base import LearnedOptimizer

    if missing := [name for name in unseen if name not in type(task).model_fields]:
        raise SuiteError("unseen: " + explain_unknown(f"parameter of {task.name}", missing[0], type(task).model_fields))
    if not unseen or not isinstance(optimizer, LearnedOptimizer):
        return
    families = [
        str(name) for recipe in optimizer.trainings() for name in recipe.get("mixture") or [recipe.get("task") or ""]
    ]
    trained_on = ", ".join(families)
    seen = [family for family in families if parse_identity(family or "unknown")[0] == task.name]
    if not seen:
        raise SuiteError(
            f"{identify(task)}: unseen={','.join(unseen)} needs optimizers trained on {task.name}; "
            f"{identify(optimizer)} was trained on {trained_on or 'what its checkpoint does not say'}"
        )
    for other, name in itertools.product(map(task_registry().create, seen), unseen):
        if task.overlaps(other, name):
            raise SuiteError(
                f"{identify(task)}: {name}={getattr(task, name)} is to be unseen, but {identify(optimizer)} was "
                f"trained on {name}={getattr(other, name)}; take a checkpoint trained on others, or leave unseen out"
            )


def load_suite(name: str, _within: tuple[str, ...] = ()) -> Suite:
    """Load a suite by its name, or by the path of a .toml file.

    Args:
        name: one of `suite_names`, or a path that ends in `.toml`.

    Example:
        >>> load_suite("quick").tracks
        ['default', 'tuned']

    Raises:
        SuiteError: there is none, it is not TOML, or a key is missing, misspelt or of the wrong type.
    """
    try:
        values = read_suite(name)
    except ValueError as error:
        raise SuiteError(f"suite {name}: {error}") from error
    return make_suite(name, values, _within)


def make_suite(name: str, values: dict[str, Any], _within: tuple[str, ...] = ()) -> Suite:
    """Make a suite from the values of its file.

    Args:
        name: for errors.
        values: by key, as TOML gives them.

    Raises:
        SuiteError: a key is missing, misspelt or of the wrong type.
        TooLarge: it has more cells or trainings than can be run.
    """
    included = values.get("include", [])
    if not (isinstance(included, list) and all(isinstance(item, str) for item in included)):
        raise SuiteError(f"suite {name}: include must be a list of suites' names, got {included!r}")
    within = (*_within, str(Path(name).resolve()) if name.endswith(".toml") else name)
    if within[-1] in _within:
        raise SuiteError(f"suite {name} must not include itself, also not through others. Try: leave that include out")
    if "parts" in values:
        raise SuiteError(f"suite {name}: no key is called 'parts'. Try: include = [\"quick\"]")
    parts: list[Suite] = []
    for item in included:
        if len(within) > MAX_INCLUDED or sum(map(count_suites, parts)) > MAX_INCLUDED:
            raise SuiteError(f"suite {name} must include at most {MAX_INCLUDED} suites, got more")
        parts.append(load_suite(item, within))
    try:
        suite = Suite(**{key: value for key, value in values.items() if key != "include"}, parts=parts)
    except ValidationError as error:
        raise SuiteError(f"suite {name}: {describe_findings(error, Suite)}") from error
    require_possible(suite)
    return suite
