"""`l2obench test-plugin`: whether a task or an optimizer keeps the contract that the engine relies on.

Every check is done in a worker process (`bench/run/worker.py`), so that one that hangs or crashes is a finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import (
    Registry,
    UnknownName,
    identity_of,
    optimizer_registry,
    task_registry,
)
from l2obench.bench.failures import Failure
from l2obench.bench.run.worker import Worker
from l2obench.foundation.names import explain_unknown
from l2obench.tasks.base import Task

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    status: Status
    finding: str
    """What is wrong, or why the check was skipped; empty where it passed."""


@dataclass(frozen=True)
class Subject:
    """What is tested."""

    kind: Literal["task", "optimizer"]
    identity: str
    model: Any


def find_subject(identity: str) -> Subject:
    """The task or optimizer of an identity.

    Raises:
        IdentityError, UnknownName, BadParameters: there is none, or it is neither.
    """
    name = parse_identity(identity)[0]
    tasks, optimizers = task_registry(), optimizer_registry()
    known = {*tasks.entries, *optimizers.entries}
    if name in known:
        is_task = name in tasks.entries
    elif "." in name or ":" in name:
        found = Registry("task or optimizer", {}, []).resolve(name)
        is_task = isinstance(found, type) and issubclass(found, Task)
    else:
        unknown = explain_unknown("task or optimizer", name, known)
        raise UnknownName(f"{unknown}. Or give a dotted path such as mypkg.opt:MyOptimizer")
    model = (tasks if is_task else optimizers).create(identity)
    return Subject("task" if is_task else "optimizer", identity_of(model), model)


def findings(subject: Subject, timeout: float) -> Iterator[Finding]:
    """What each check finds, in order; after one that hung, the others are skipped."""
    from l2obench.bench.contract import optimizer_requirements as optimizer_checks
    from l2obench.bench.contract import task_requirements as task_checks

    names = list(task_checks.CHECKS if subject.kind == "task" else optimizer_checks.CHECKS)
    task, optimizers = (subject.identity, []) if subject.kind == "task" else (None, [subject.identity])
    hung = False
    with Worker(timeout) as worker:
        for name in names:
            if hung:
                yield Finding(name, "skipped", "an earlier check hung")
                continue
            try:
                skipped = worker.do("check", task, optimizers, {"name": name})
            except Failure as failure:
                hung = failure.status == "timeout"
                yield Finding(name, "failed", f"no answer within {timeout:g} s" if hung else failure.reason)
            else:
                yield Finding(name, "skipped" if skipped else "passed", skipped or "")
