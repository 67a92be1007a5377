"""Both sides of a check in one run: two checkpoints of one learned optimizer on common seeds and one clock."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.bench.config.identity import format_identity, parse_identity
from l2obench.bench.config.registry import identify, optimizer_registry
from l2obench.bench.config.suite import Suite
from l2obench.bench.gate.differences import CHECKPOINT
from l2obench.bench.gate.side import Recorded, read_side
from l2obench.foundation.names import explain_unknown
from l2obench.optimizers.learned.checkpoint import CheckpointError, read_checkpoint

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer


class CheckpointMatchError(ValueError):
    """Two checkpoints that do not belong together, or a suite without a task for them."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_checkpoints(
    new: str,
    old: str,
    suite: Suite,
    folder: Path,
    *,
    tasks: Sequence[str] = (),
    rule: str | None = None,
    seeds: int | None = None,
    device: str = "cpu",
    report: Callable[[str], Any] = lambda _: None,
) -> tuple[list[Recorded], list[Recorded]]:
    """Run both and give the sides (BASE, HEAD), their cells under one name.

    Args:
        new: the checkpoint on trial, a path or a shipped name: HEAD.
        old: what it is held against: BASE.
        suite: its tasks of the family that the checkpoints were trained for are run, each with the suite's seeds.
        folder: where the run goes; cells that it holds already are not run again.
        tasks: instead of the suite's tasks of that family.
        rule: the optimizer that reads the checkpoints, where that is no registered name; a dotted path.
        seeds: instead of the suite's on every task.
        device: the torch device.
        report: called with a line for each thing done.

    Raises:
        CheckpointMatchError: the checkpoints are of different rules or families, or the suite has no task for them.
        CheckpointError, StoreError, UnknownName: what is wrong, what was expected.
    """
    from l2obench.bench.config.run_options import RunOptions
    from l2obench.bench.run.runner import Runner
    from l2obench.bench.store.run_folder import RunFolder

    base, head = _optimizer(old, rule), _optimizer(new, rule)
    if base.name != head.name:
        raise CheckpointMatchError(f"{new} holds a {head.name!r} optimizer and {old} a {base.name!r}")
    plan = suite if tasks else _for_family(new, old, suite)
    cells = plan.narrow(list(tasks) or None, [identify(base), identify(head)], seeds).cells()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"suite": "gate", "description": suite.description, "command": f"check {new} against {old}"}
    outcome = Runner(RunFolder(folder), cells, RunOptions(device=device), report=report).execute(
        {**about, "started": started}
    )
    for line in outcome.errors:
        report(line)
    wanted = {identify(at.task) for at in cells}
    found = [cell for cell in read_side(folder) if cell.key[0] in wanted]
    return _named(found, identify(base), base.name), _named(found, identify(head), base.name)


def _optimizer(checkpoint: str, rule: str | None) -> "Optimizer":
    name = rule or read_checkpoint(checkpoint).optimizer
    registry = optimizer_registry()
    if rule is None and name not in registry.entries:
        # The name comes out of a file: it may choose among what is registered, and import nothing.
        raise CheckpointError(
            f"{checkpoint}: {explain_unknown('optimizer', name, registry.entries)}. Say with -o what reads it"
        )
    stem, parameters = parse_identity(name)
    made: Optimizer = registry.create(format_identity(stem, {**parameters, "checkpoint": checkpoint}))
    return made


def _for_family(new: str, old: str, suite: Suite) -> Suite:
    """The suite's tasks of the family that both checkpoints were trained for."""
    families = {name: _family(name) for name in (new, old)}
    if families[new] != families[old]:
        raise CheckpointMatchError(
            f"{new} was trained on {families[new]!r} and {old} on {families[old]!r}; name tasks for both with -t"
        )
    kept = [item for item in suite.tasks if parse_identity(item.task)[0] == families[new]]
    if not kept:
        known = ", ".join(item.task for item in suite.tasks)
        raise CheckpointMatchError(
            f"{new} was trained on {families[new]!r}, and the suite has no such task, only {known}; name some with -t",
            exit_code=4,
        )
    return suite.model_copy(update={"tasks": kept})


def _family(checkpoint: str) -> str:
    """The family that a checkpoint was trained for, as its recipe says."""
    task = read_checkpoint(checkpoint).recipe.get("task")
    if not isinstance(task, str):
        raise CheckpointMatchError(f"{checkpoint} does not say what it was trained on; name tasks with -t")
    return parse_identity(task)[0]


def _named(cells: list[Recorded], identity: str, name: str) -> list[Recorded]:
    """The cells of one optimizer under another name, which its clock has too. That checkpoints differ is no warning."""
    named = []
    for cell in cells:
        task, optimizer, track = cell.key
        if optimizer == identity:
            seconds = cell.clock.step_seconds
            clock = replace(cell.clock, step_seconds={name: seconds[identity]} if identity in seconds else {})
            facts = {fact: value for fact, value in cell.facts.items() if fact != CHECKPOINT}
            named.append(replace(cell, key=(task, name, track), clock=clock, facts=facts))
    return named
