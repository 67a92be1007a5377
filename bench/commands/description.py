"""What `l2obench info` says of a task, an optimizer or this machine."""

import inspect
import json
from typing import Any

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import UnknownName, identity_of, optimizer_registry, task_registry
from l2obench.bench.store.environment import environment
from l2obench.foundation.names import explain_unknown
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.learned.base import LearnedOptimizer


def describe(identity: str) -> dict[str, Any]:
    """Documentation, parameters and, where it has one, the training recipe of a task or optimizer.

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


def describe_machine() -> dict[str, Any]:
    """Versions and machine, as they go into manifests."""
    return {"environment": environment("cpu")}


def show(facts: dict[str, Any]) -> str:
    """The facts as text for a terminal."""
    if "environment" in facts:
        return "\n".join(f"{key}: {_plain(value)}" for key, value in facts["environment"].items())
    lines = [f"{facts['kind']} {facts['identity']} (version {facts['version']})", "", facts["description"] or "", ""]
    for key, parameter in facts["parameters"].items():
        about = " ".join((parameter["description"] or "").split())
        lines.append(f"  {key} = {parameter['value']}" + (f"    {about}" if about else ""))
    if "recipe" in facts:
        lines += ["", "trained with:", *(f"  {key}: {_plain(value)}" for key, value in facts["recipe"].items())]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)
