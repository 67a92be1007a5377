"""The facts that `l2obench info` prints. The command itself imports this module late, since it imports torch."""

import inspect
from typing import Any

import torch

from l2obench.bench.commands.more_facts import (
    collect_checkpoint_facts,
    collect_recipe_facts,
    collect_results_facts,
    collect_suite_facts,
    is_file,
    is_results,
)
from l2obench.bench.config.budget import search_space
from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import Registry, UnknownName, identify, optimizer_registry, task_registry
from l2obench.bench.config.shipped import recipe_names, suite_names
from l2obench.bench.run.plugin_test import leads_to_task
from l2obench.bench.store.environment import environment
from l2obench.foundation.names import explain_unknown
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.module import ModuleTask


def kinds_of(name: str) -> list[str]:
    """The kinds of things that have a name, the one that `info` shows first. Empty where nothing has it.

    Args:
        name: a name, an identity, a dotted path, or the path of a file or folder.
    """
    if is_file(name):
        return ["suite" if name.endswith(".toml") else "checkpoint"]
    # A path is none of the names; an identity may hold a path between its brackets.
    if "/" in name.partition("[")[0] and ":" not in name and is_results(name):
        return ["results"]
    stem = parse_identity(name)[0]
    optimizers = [*optimizer_registry().entries, *shipped_checkpoints()]
    is_path = stem not in optimizers and ("." in stem or ":" in stem)
    is_task = is_path and leads_to_task(stem)
    found = {
        "task": stem in task_registry().entries or is_task,
        "optimizer": stem in optimizers or (is_path and not is_task),
        "suite": name in suite_names(),
        "recipe": name in recipe_names(),
        "results": is_results(name),
    }
    return [kind for kind, has in found.items() if has]


def collect_facts(name: str, kind: str | None) -> dict[str, Any]:
    """What there is to say of a name.

    Args:
        name: as `kinds_of` takes it.
        kind: one of its kinds; None: nothing has this name.

    Raises:
        UnknownName: nothing has this name.
    """
    match kind:
        case "suite":
            return collect_suite_facts(name)
        case "recipe":
            return collect_recipe_facts(name)
        case "checkpoint":
            return collect_checkpoint_facts(name)
        case "results":
            return collect_results_facts(name)
        case "task" | "optimizer":
            return _collect_model_facts(name, task_registry() if kind == "task" else optimizer_registry())
        case _:
            names = [key for registry in (task_registry(), optimizer_registry()) for key in registry.entries]
            known = [*names, *shipped_checkpoints(), *suite_names(), *recipe_names()]
            what = "task, optimizer, checkpoint, suite, recipe or results folder"
            raise UnknownName(explain_unknown(what, name, known))


def _collect_model_facts(identity: str, registry: Registry) -> dict[str, Any]:
    """Description, parameters and, of a trained optimizer, the recipe of a task or an optimizer."""
    subject = registry.create(identity)
    facts: dict[str, Any] = {
        "kind": registry.kind,
        "identity": identify(subject),
        "version": subject.version,
        # Not inspect.getdoc, which takes that of the base class where a class of the user's has none.
        "description": inspect.cleandoc(type(subject).__doc__ or ""),
        "parameters": {
            key: {"value": getattr(subject, key), "default": field.default, "description": field.description}
            for key, field in type(subject).model_fields.items()
        },
    }
    if isinstance(subject, Optimizer):
        facts["uses"] = ["gradients", *subject.uses]
        space = search_space(subject, heldout=True)
        facts["search_space"] = {name: str(dimension) for name, dimension in space.items()}
    if isinstance(subject, ModuleTask):
        facts["model"] = _describe_module(subject)
    if isinstance(subject, LearnedOptimizer) and subject.recipe:
        facts["recipe"] = dict(subject.recipe)
        facts["checkpoint_sha256"] = subject.checkpoint_sha256
    return facts


def _describe_module(task: ModuleTask) -> dict[str, Any]:
    """Size of the model, what it is tested by, and how its replicas run."""
    problem = task.sample(torch.Generator().manual_seed(0))
    params = {name: value.expand(1, 1, *value.shape) for name, value in problem.params.items()}
    buffers = {name: value.expand(1, 1, *value.shape) for name, value in problem.buffers.items()}
    refused = task.runs_one_by_one()
    return {
        "trained parameters": sum(value.numel() for value in problem.params.values()),
        "held-out metrics": list(task.evaluate_with_buffers(params, buffers)),
        "replicas": "can run together, by torch.vmap" if refused is None else f"run one after another: {refused}",
    }


def collect_machine_facts() -> dict[str, Any]:
    """Versions and machine, as manifests hold them."""
    return {"environment": environment("cpu")}
