"""What a task states about its results: the tolerance of a change, its floor, its metrics, and which data it uses.

Names in results are data. Only registered tasks, ours and installed plugins', are asked; a dotted path, which would
import whatever a results file says, never is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from l2obench.bench.config.identity import IdentityError, parse_identity
from l2obench.bench.config.registry import task_registry


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task."""

    tolerance: float
    floor: float
    metric_directions: Mapping[str, str]
    """`lower` or `higher`, which is better, by held-out metric."""
    sources: frozenset[str] | None
    """Names of its data sources; none: not known, it may be any."""
    known: bool


@lru_cache(maxsize=1024)
def task_facts(identity: str) -> TaskFacts:
    """What the task of this identity states; the defaults where it is not registered or cannot be made here.

    Args:
        identity: out of a results file. It is data, so it chooses among registered tasks and imports nothing else.
    """
    from l2obench.tasks.base import Task  # imports torch, which results that state all of this do not need

    default = TaskFacts(Task.tolerance, Task.floor, Task.metric_directions, None, known=False)
    try:
        if parse_identity(identity)[0] not in task_registry().entries:
            return default
        task = task_registry().create(identity)
    except IdentityError:
        return default
    except Exception:  # a plugin's task may raise anything when it is imported or made
        return default
    try:
        sources = frozenset(task.sources())
    except Exception:  # its data may not be on this machine
        sources = None
    return TaskFacts(float(task.tolerance), float(task.floor), dict(task.metric_directions), sources, known=True)
