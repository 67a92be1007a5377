"""The registry: names become tasks and optimizers, by our tables, plugins' entry points and dotted paths.

An unknown name is answered with the nearest names. A module is imported when its name is asked for, not before.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from l2obench import optimizers
from l2obench.bench.config.entries import Entries, optimizer_entries, task_entries
from l2obench.bench.config.foreign_code import call_foreign
from l2obench.bench.config.identity import changed_parameters, format_identity, parse_identity
from l2obench.bench.config.plugin_file import edition, format_file_name, load_class, names_file
from l2obench.bench.config.plugin_source import source_of
from l2obench.foundation.errors import describe_error, describe_findings
from l2obench.foundation.names import explain_unknown


class UnknownName(ValueError):
    """No task, optimizer or suite has this name, or its module cannot be imported."""

    exit_code = 2


class BadParameters(ValueError):
    """A task or optimizer does not take these parameters."""

    exit_code = 2


class Registry:
    """Names of one kind, ours and those of installed plugins.

    Args:
        kind: `task` or `optimizer`.
        names: what is registered.

    Example:
        >>> optimizer_registry().create("adam[lr=0.1]").lr
        0.1
        >>> task_registry().create("quadratic[dimm=3]")
        Traceback (most recent call last):
        l2obench.bench.config.registry.BadParameters: task quadratic: no parameter of quadratic is called 'dimm'. ...
    """

    def __init__(self, kind: str, names: Entries) -> None:
        self.kind = kind
        self.entries = names.by_name
        self.conflicts = names.conflicts
        self.own_classes: dict[str, type[Any]] = {}
        """Classes that no import leads to, by their names: of a notebook, a script or a function of this process."""

    def resolve(self, name: str) -> type[Any]:
        """Import the class behind a name, a dotted path, or a file's path.

        Args:
            name: a registered name, `package.module:Class`, or `./mine.py:Class`.

        Raises:
            UnknownName: there is none, its module cannot be imported, or two plugins claim the name.
            PluginEnded: importing the module ends the process, or takes too long.
        """
        if name in self.conflicts:
            first, second = self.conflicts[name]
            raise UnknownName(
                f"two {self.kind}s are called {name!r}, by {first} and by {second}. Try: uninstall one of them"
            )
        if name in self.own_classes:
            return self.own_classes[name]
        if not self.foreign(name):
            return self._find(name)
        return call_foreign(f"{self.kind} {name!r}", lambda: self._find(name), f"import {name}{edition(name)}")

    def _find(self, name: str) -> type[Any]:
        if name in self.entries:
            return _import(self.kind, name, self.entries[name].path)
        if names_file(name):
            return load_class(name)
        if "." in name or ":" in name:
            return _import(self.kind, name, name if ":" in name else ":".join(name.rsplit(".", 1)))
        checkpoints = optimizers.shipped_checkpoints() if self.kind == "optimizer" else []
        raise UnknownName(explain_unknown(self.kind, name, [*self.entries, *checkpoints]))

    def create(self, identity: str, more: Mapping[str, Any] | None = None) -> Any:
        """Make the task or optimizer that an identity names. A shipped checkpoint's name stands for its rule with it.

        Args:
            identity: `name` or `name[key=value,…]`.
            more: parameters besides those of the identity, as Python values.

        Raises:
            IdentityError, UnknownName, PluginFileError, BadParameters: what is wrong, what was expected.
        """
        name, parameters = parse_identity(identity)
        parameters |= more or {}
        name = format_file_name(name) if names_file(name) else name
        if self.kind == "optimizer" and name not in self.entries and name in optimizers.shipped_checkpoints():
            name, parameters = optimizers.rule_of_checkpoint(name), {"checkpoint": name, **parameters}
        cls = self._adapt(name, self.resolve(name))
        if self.kind == "optimizer":
            cls = self._with_schedule(name, cls, parameters)
        try:
            made = self._make(name, cls, parameters)
        except ValidationError as error:
            findings = describe_findings(error, cls, f"parameter of {name}")
            raise BadParameters(f"{self.kind} {name}: {findings}") from error
        except Exception as error:
            if not self.foreign(name) or hasattr(error, "exit_code"):
                raise
            raise BadParameters(f"{self.kind} {name} cannot be made: {describe_error(error)}") from error
        # They stand in every row: a value of another type would fail when the first file is written.
        for number in ("version", "final_window"):
            if not isinstance(value := getattr(made, number, 1), int) or value < 1:
                raise BadParameters(f"{self.kind} {name}: {number} must be a whole number from 1 on, got {value!r}")
        return made

    def _with_schedule(self, name: str, cls: type[BaseModel], parameters: dict[str, Any]) -> type[BaseModel]:
        """The class with a schedule of the learning rate, where the parameters ask for one that it has not itself."""
        from l2obench.optimizers.scheduled import FIELDS, with_schedule

        if not any(field in parameters and field not in cls.model_fields for field in FIELDS):
            return cls
        # The rule without a schedule is the same, and has one identity.
        if parameters.get("schedule") == "constant" and not parameters.keys() & {*FIELDS[1:]}:
            del parameters["schedule"]
            return cls
        try:
            return with_schedule(cls)
        except ValueError as error:
            raise BadParameters(f"optimizer {name}: {error}") from error

    def _make(self, name: str, cls: type[BaseModel], parameters: Mapping[str, Any]) -> Any:
        if not self.foreign(name):
            return cls(**parameters)
        key = f"make {self.kind} {name}{edition(name)} {json.dumps(parameters, sort_keys=True, default=repr)}"
        return call_foreign(f"{self.kind} {name}", lambda: cls(**parameters), key)

    def name_class(self, cls: type[Any]) -> str:
        """The name by which `create` finds a class; one that no import leads to is kept for this process.

        Args:
            cls: a task, an optimizer, or a class of torch optimizers.

        Returns:
            A registered name where there is one; else a dotted path, `module:Class`.
        """
        path = f"{cls.__module__}:{cls.__qualname__}"
        for name, entry in self.entries.items():
            if entry.path == path:
                return name
        # torch.optim.Adam is documented there and defined in torch.optim.adam.
        package = cls.__module__.rpartition(".")[0]
        if package == "torch.optim" and getattr(sys.modules[package], cls.__name__, None) is cls:
            return f"{package}.{cls.__name__}"
        found = getattr(sys.modules.get(cls.__module__), cls.__qualname__, None)
        if cls.__module__ != "__main__" and found is cls:
            return path
        name = path.replace("<locals>", "locals").replace("<lambda>", "lambda")
        self.own_classes[name] = cls
        return name

    def foreign(self, name: str) -> bool:
        """Say whether a name leads to code that is not ours: a plugin's, or a dotted path.

        Args:
            name: without parameters.

        Example:
            >>> optimizer_registry().foreign("adam"), optimizer_registry().foreign("torch.optim.Rprop")
            (False, True)
        """
        entry = self.entries.get(name)
        return entry.distribution != "l2obench" if entry else "." in name or ":" in name

    def source(self, model: Any) -> str | None:
        """Give the hash or the version of a plugin's code; None for tasks and optimizers of l2obench.

        Args:
            model: made by this registry.
        """
        if not self.foreign(model.name):
            return None
        return source_of(getattr(type(model), "torch_class", type(model)))

    def _adapt(self, name: str, cls: type[Any]) -> type[BaseModel]:
        """The class itself if it is a task or an optimizer; a `torch.optim.Optimizer` class through the bridge."""
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
            raise UnknownName(f"{self.kind} {name!r} must be a subclass of {base.__module__}.{base.__name__}{also}")
        # Results name the identity, which must lead back to this class: a dotted path is then the class's name.
        if getattr(cls, "name", None) != name:
            cls = type(cls.__name__, (cls,), {"name": name, "__module__": cls.__module__, "__doc__": cls.__doc__})
        return cls


@lru_cache(maxsize=1)
def task_registry() -> Registry:
    """Give the registry of tasks."""
    return Registry("task", task_entries())


@lru_cache(maxsize=1)
def optimizer_registry() -> Registry:
    """Give the registry of optimizers."""
    return Registry("optimizer", optimizer_entries())


def identify(model: Any) -> str:
    """Give the canonical identity of a task or an optimizer.

    Args:
        model: one that the registry made, or any of ours.

    Example:
        >>> identify(task_registry().create("mnist-mlp[units=40,layers=1]"))
        'mnist-mlp[units=40]'
    """
    return format_identity(model.name, changed_parameters(model))


def identify_functions(task: Any) -> str:
    """Give what a task's seeds derive from: its identity without what changes no function, such as the horizon.

    Args:
        task: one that the registry made, or any of ours.

    Example:
        >>> identify_functions(task_registry().create("mnist-mlp[units=40,horizon=7]"))
        'mnist-mlp[units=40]'
    """
    parameters = changed_parameters(task)
    return format_identity(task.name, {key: parameters[key] for key in parameters.keys() - {*task.changes_no_function}})


def _import(kind: str, name: str, path: str) -> type[Any]:
    module, _, attribute = path.partition(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a plugin's module may raise anything
        raise UnknownName(f"{kind} {name!r} cannot be imported from {path}: {describe_error(error)}") from error
    return found
