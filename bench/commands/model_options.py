"""Options of a command from the fields of a pydantic model: its one definition gives text, type, default and range."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
"""Constraints of a pydantic field, as signs."""


def with_options_of(
    model: type[BaseModel], groups: Mapping[str, Sequence[str]], flags: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes `**values` an option for each field of a model.

    An option that is not given is None: whoever makes the model decides between a recipe's value and the default. The
    model checks the ranges, so that a suite's file and the command line answer with the same words.

    Args:
        model: its fields have descriptions, and constraints such as `ge=1`.
        groups: title of a group in the help → the fields in it, in that order.
        flags: how the options of some fields are spelled, as `--second-order/--first-order`.

    Returns:
        A decorator that puts the options after the command's own parameters, in the place of `**values`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            _option(name, model.model_fields[name], title, (flags or {}).get(name))
            for title, names in groups.items()
            for name in names
        ]
        command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return command

    return decorate


def select_given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values of the options that were given.

    Args:
        values: of all options by name; None: not given.
    """
    return {name: value for name, value in values.items() if value is not None}


def _option(name: str, field: FieldInfo, group: str, flag: str | None) -> inspect.Parameter:
    """The option of one field, as a parameter for typer to read."""
    kind = _option_type(field.annotation)
    spelled = name.replace("_", "-")
    flag = flag or (f"--{spelled}/--no-{spelled}" if kind is bool else f"--{spelled}")
    facts = "; ".join(_facts(field, flag))
    text = " ".join((field.description or "").split()) + (f"  [{facts}]" if facts else "")
    option = typer.Option(None, flag, help=text, show_default=False, rich_help_panel=group)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


def _option_type(annotation: Any) -> Any:
    """What the command line takes for a field: without None, families as a list, and text where the model parses it."""
    if get_origin(annotation) in (Union, UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        annotation = inner[0] if len(inner) == 1 else str
    if get_origin(annotation) is tuple:
        return list[str]
    return annotation if annotation in (bool, int, float) or get_origin(annotation) is Literal else str


def _facts(field: FieldInfo, flag: str) -> Iterator[str]:
    """Default and range, in words for the help."""
    if isinstance(field.default, bool):
        positive, negative = flag.split("/")
        yield f"default: {positive if field.default else negative}"
    elif field.default is not None and not field.is_required():
        yield f"default: {field.default}"
    yield from _range(field)


def _range(field: FieldInfo) -> Iterator[str]:
    """The range of a field as typer writes it: `x>=1`, `0<x<=10`."""
    bounds = {name: f"{getattr(each, name):g}" for each in field.metadata for name in SIGNS if hasattr(each, name)}
    lower = [name for name in ("gt", "ge") if name in bounds]
    upper = [f"{SIGNS[name]}{bounds[name]}" for name in ("lt", "le") if name in bounds]
    if lower and upper:
        yield f"{bounds[lower[0]]}{'<' if lower[0] == 'gt' else '<='}x{upper[0]}"
    elif lower:
        yield f"x{SIGNS[lower[0]]}{bounds[lower[0]]}"
    elif upper:
        yield f"x{upper[0]}"
