"""Where names become tasks and optimizers: our tables, third parties' entry points, and dotted paths.

A name that is not known answers with the nearest names. Modules are imported when a name is asked for, not before.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, ValidationError

from l2obench import optimizers, tasks
from l2obench.bench.config.identity import canonical, changed_parameters, parse_identity
from l2obench.foundation.errors import describe_error, describe_findings
from l2obench.foundation.names import explain_unknown


class UnknownName(ValueError):
    """No task, optimizer or suite has this name."""

    exit_code = 2


class BadParameters(ValueError):
    """A task or optimizer does not take these parameters."""

    exit_code = 2


@dataclass(frozen=True)
class Entry:
    """One registered family or rule: where its class is, and a line about it."""

    path: str
    summary: str
    distribution: str


class Registry:
    """Names of one kind (tasks or optimizers), ours and those of installed plugins."""

    def __init__(self, kind: str, builtin: Mapping[str, tuple[str, str]], plugins: Iterable[EntryPoint]) -> None:
        self.kind = kind
        self.entries = {name: Entry(path, summary, "l2obench") for name, (path, summary) in builtin.items()}
        self.conflicts: dict[str, tuple[str, str]] = {}
        for plugin in plugins:
            origin = plugin.dist.name if plugin.dist else plugin.value
            if (known := self.entries.get(plugin.name)) is not None and known.path != plugin.value:
                self.conflicts[plugin.name] = (known.distribution, origin)
            else:
                self.entries[plugin.name] = Entry(plugin.value, f"plugin of {origin}", origin)

    def resolve(self, name: str) -> type[Any]:
        """The class behind a name or a dotted path.

        Raises:
            UnknownName: there is none, its module cannot be imported, or two plugins claim the name.
        """
        if name in self.conflicts:
            first, second = self.conflicts[name]
            raise UnknownName(
                f"two {self.kind}s are called {name!r}, by {first} and by {second}; uninstall one of the two"
            )
        if name in self.entries:
            return _import(self.kind, name, self.entries[name].path)
        if "." in name or ":" in name:
            return _import(self.kind, name, name if ":" in name else ":".join(name.rsplit(".", 1)))
        checkpoints = optimizers.shipped_checkpoints() if self.kind == "optimizer" else []
        raise UnknownName(explain_unknown(self.kind, name, [*self.entries, *checkpoints]))

    def create(self, identity: str, more: Mapping[str, Any] | None = None) -> Any:
        """The task or optimizer that an identity names; a shipped checkpoint's name stands for its rule with it.

        Args:
            identity: `name` or `name[key=value,…]`.
            more: parameters besides those of the identity, as Python values.

        Raises:
            IdentityError, UnknownName, BadParameters: what is wrong, what was expected.
        """
        name, parameters = parse_identity(identity)
        parameters |= more or {}
        if self.kind == "optimizer" and name not in self.entries and name in optimizers.shipped_checkpoints():
            name, parameters = optimizers.rule_of_checkpoint(name), {"checkpoint": name, **parameters}
        cls = self._adapt(name, self.resolve(name))
        try:
            made = cls(**parameters)
        except ValidationError as error:
            findings = describe_findings(error, cls, f"parameter of {name}")
            raise BadParameters(f"{self.kind} {name}: {findings}") from error
        except Exception as error:
            if not self.foreign(name) or hasattr(error, "exit_code"):
                raise
            raise BadParameters(f"{self.kind} {name} cannot be made: {describe_error(error)}") from error
        for number in ("version", "final_window"):  # they stand in every row
            if not isinstance(value := getattr(made, number, 1), int) or value < 1:
                raise BadParameters(f"{self.kind} {name}: {number} is {value!r}, expected a whole number from 1 on")
        return made

    def foreign(self, name: str) -> bool:
        """Whether a name leads to code that is not ours: a plugin's, or a dotted path."""
        entry = self.entries.get(name)
        return entry.distribution != "l2obench" if entry else "." in name or ":" in name

    def _adapt(self, name: str, cls: type[Any]) -> type[BaseModel]:
        """Any class of ours as it is; a `torch.optim.Optimizer` class through the bridge."""
        base: type[BaseModel]
        if self.kind == "optimizer":
            from l2obench.optimizers.base import Optimizer as base
            from l2obench.optimizers.bridged.torch_optim import bridge, is_torch_optimizer

            if is_torch_optimizer(cls):
                return bridge(name, cls)
        else:
            from l2obench.tasks.base import Task as base
        if not (isinstance(cls, type) and issubclass(cls, base)):
            also = " or a torch.optim.Optimizer class" if self.kind == "optimizer" else ""
            raise UnknownName(
                f"{name!r} is no {self.kind}: expected a subclass of {base.__module__}.{base.__name__}{also}"
            )
        if getattr(cls, "name", None) != name:  # the identity must lead back here
            cls = type(cls.__name__, (cls,), {"name": name, "__module__": cls.__module__, "__doc__": cls.__doc__})
        return cls


@lru_cache(maxsize=1)
def task_registry() -> Registry:
    return Registry("task", tasks.FAMILIES, entry_points(group="l2obench.tasks"))


@lru_cache(maxsize=1)
def optimizer_registry() -> Registry:
    return Registry("optimizer", optimizers.RULES, entry_points(group="l2obench.optimizers"))


def identity_of(model: Any) -> str:
    """The canonical identity of a task or an optimizer."""
    return canonical(model.name, changed_parameters(model))


def function_family(task: Any) -> str:
    """What a task's seeds derive from: its identity without what changes no function, as the horizon does not."""
    parameters = changed_parameters(task)
    return canonical(task.name, {key: parameters[key] for key in parameters.keys() - {*task.changes_no_function}})


def _import(kind: str, name: str, path: str) -> type[Any]:
    module, _, attribute = path.partition(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a stranger's module may raise anything
        raise UnknownName(f"{kind} {name!r} cannot be imported from {path}: {describe_error(error)}") from error
    return found
