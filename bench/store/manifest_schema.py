"""What a manifest must look like before anything in it is used: it may have been damaged, or written by anybody."""

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
    cells: list[_Cell] | None
    costs: _Costs
    starts: list[_Start]


_SHAPE = TypeAdapter(_Manifest)


def check_shape(manifest: Any) -> None:
    """Raise unless a manifest holds what is looked up in one, where it holds it at all.

    Raises:
        ValueError: in one line, where it does not.
    """
    try:
        _SHAPE.validate_python(manifest)
    except ValidationError as error:
        raise ValueError(describe_findings(error)) from None
