"""The shape of a manifest, which is tested before anything in it is used: anyone may have written or damaged it."""

from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from l2obench.foundation.errors import describe_findings

Facts = dict[str, Any]


class _Cell(TypedDict):
    task: str
    optimizer: str
    track: str


class _Start(TypedDict, total=False):
    command: str | None


class _Task(TypedDict, total=False):
    parameters: Facts | None
    metric_directions: Facts | None


class _Cost(TypedDict, total=False):
    meta_training: Facts | None


class _Costs(TypedDict, total=False):
    tasks: dict[str, Facts]
    optimizers: dict[str, _Cost]


class _Environment(TypedDict, total=False):
    versions: Facts


class _Manifest(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]

    environment: _Environment | None
    sources: dict[str, Facts] | None
    tasks: dict[str, _Task]
    recipes: dict[str, Facts]
    plugins: dict[str, str]
    classes: dict[str, str]
    cells: list[_Cell] | None
    costs: _Costs
    timing: dict[str, Facts]
    starts: list[_Start]


_SHAPE = TypeAdapter(_Manifest)


def require_manifest(manifest: Any) -> None:
    """Refuse a manifest in which what readers look up is of another shape. What it lacks is no fault.

    Args:
        manifest: what JSON gave.

    Raises:
        ValueError: what is wrong, in one line.

    Example:
        >>> require_manifest({"cells": 3})
        Traceback (most recent call last):
        ValueError: cells must be a valid list, got 3
    """
    try:
        _SHAPE.validate_python(manifest)
    except ValidationError as error:
        raise ValueError(describe_findings(error)) from None
