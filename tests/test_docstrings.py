"""Public functions and methods describe their arguments, where no method that they override does."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from l2obench.bench.commands import completion
from l2obench.bench.commands.cli import COMMANDS
from l2obench.bench.contract import module_requirements, optimizer_requirements, task_requirements
from tests.test_architecture import MODULES

# Tables of functions of one kind, whose modules describe the one argument that all of them take.
OF_ONE_KIND = [module_requirements.REQUIREMENTS, optimizer_requirements.REQUIREMENTS, task_requirements.REQUIREMENTS]
OF_ONE_KIND += [{name: value for name, value in vars(completion).items() if name.startswith("complete_")}]
DESCRIBED_ELSEWHERE = {function for table in OF_ONE_KIND for function in table.values()}
# The help of a command's options is in the annotations of its function, or in the fields of a recipe.
COMMAND_PATHS = {command.path for section in COMMANDS.values() for command in section.values()}


def public_functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions of a module, and methods of its classes that no base class has."""
    for name, value in vars(module).items():
        value = inspect.unwrap(value) if callable(value) else value
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) and value not in DESCRIBED_ELSEWHERE:
            if f"{module.__name__.rpartition('.')[2]}:{name}" not in COMMAND_PATHS:
                yield name, value
        elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
            for method, attribute in vars(value).items():
                function = getattr(attribute, "__func__", attribute)
                inherited = any(hasattr(base, method) for base in value.__mro__[1:])
                if inspect.isfunction(function) and not method.startswith("_") and not inherited:
                    yield f"{name}.{method}", inspect.unwrap(function)


def undescribed(function: Callable[..., Any]) -> list[str]:
    """Arguments that its docstring does not list; what begins with an underscore is not used."""
    _, _, described = (inspect.getdoc(function) or "").partition("Args:\n")
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "cls")
        and not parameter.name.startswith("_")
        and not hasattr(parameter.annotation, "__metadata__")
        and not re.search(rf"^    .*\b{parameter.name}\b.*:", described, re.MULTILINE)
    ]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_arguments_are_described(name: str) -> None:
    module = importlib.import_module(name)
    assert {name: found for name, function in public_functions(module) if (found := undescribed(function))} == {}
