"""The facts that `l2obench info` prints. The command itself imports this module late, since it imports torch."""

import inspect
from typing import Any

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import UnknownName, identity_of, optimizer_registry, task_registry
from l2obench.bench.store.environment import environment
from l2obench.foundation.names import explain_unknown
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.learned.base import LearnedOptimizer


def collect_facts(identity: str) -> dict[str, Any]:
    """Description, parameters and, of a trained optimizer, the recipe of a task or an optimizer.

    Args:
        identity: a name, an identity, a shipped checkpoint or a dotted path.

    Raises:
        UnknownName: no task, optimizer or shipped checkpoint has this name.
    """
    name = parse_identity(identity)[0]
    registries = [task_registry(), optimizer_registry()]
    known = [key for registry in registries for key in registry.entries] + shipped_checkpoints()
    if name not in known and "." not in name:
        raise UnknownName(explain_unknown("task, optimizer or checkpoint", name, known))
    registry = registries[0] if name in registries[0].entries else registries[1]
    subject = registry.create(identity)
    facts: dict[str, Any] = {
        "kind": registry.kind,
        "identity": identity_of(subject),
        "version": subject.version,
        "description": inspect.getdoc(type(subject)),
        "parameters": {
            key: {"value": getattr(subject, key), "default": field.default, "description": field.description}
            for key, field in type(subject).model_fields.items()
        },
    }
    if isinstance(subject, LearnedOptimizer) and subject.recipe:
        facts["recipe"] = dict(subject.recipe)
        facts["checkpoint_sha256"] = subject.checkpoint_sha256
    return facts


def collect_machine_facts() -> dict[str, Any]:
    """Versions and machine, as manifests hold them."""
    return {"environment": environment("cpu")}
