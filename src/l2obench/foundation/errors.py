"""Errors in one line: what an exception says, and what pydantic found wrong with values.

Messages of libraries and plugins may span lines, be endless, or fail while they are made. What users read and what
results keep must not.
"""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from l2obench.foundation.names import explain_unknown

# A row of results keeps the reason of a failure: one message of a megabyte must not outweigh its numbers.
LONGEST_REASON = 1000
# Whoever sees the first findings mends their cause; a damaged manifest can have one for each of its cells.
MOST_FINDINGS = 5
LONGEST_INPUT = 80


def describe_error(error: BaseException) -> str:
    """Give the type and the message of an exception in one line, as results keep it.

    Args:
        error: any exception, that of a plugin included.

    Returns:
        `Type: message` with single spaces, at most `LONGEST_REASON` characters.

    Example:
        >>> describe_error(ValueError("two\\n  lines"))
        'ValueError: two lines'
    """
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = "its message cannot be shown"
    return _as_unicode(f"{type(error).__name__}: {message}"[:LONGEST_REASON])


def describe_message(error: BaseException) -> str:
    """Give the message of an exception in one line, to stand inside a message of ours.

    Args:
        error: an exception of a library, whose type tells a user nothing.

    Returns:
        What pydantic found, for its errors. For others the first line of the message, or the type where it has none.

    Example:
        >>> describe_message(OSError("no route to host\\nin socket.c"))
        'no route to host'
        >>> describe_message(KeyError())
        'KeyError'
    """
    if isinstance(error, ValidationError):
        return describe_findings(error)
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = []
    return _as_unicode((lines or [type(error).__name__])[0][:LONGEST_REASON])


def _as_unicode(text: str) -> str:
    """Text that UTF-8 can hold: Python writes bytes of a file's name that are none as halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode()


def describe_findings(error: ValidationError, model: type[BaseModel] | None = None, kind: str = "key") -> str:
    """Give what pydantic found wrong with values in one line.

    Args:
        error: pydantic's error.
        model: the class that was to be made; a misspelt key is then answered with the nearest of its fields.
        kind: what a field is called in that answer, such as `parameter of adam`.

    Returns:
        At most `MOST_FINDINGS` findings, parted by semicolons: `X must be …, got …`.

    Example:
        >>> class Settings(BaseModel, extra="forbid"):
        ...     seeds: int
        >>> try:
        ...     Settings(seeds="many")
        ... except ValidationError as error:
        ...     describe_findings(error)
        "seeds must be a valid integer, unable to parse string as an integer, got 'many'"
        >>> try:
        ...     Settings(seeds=1, sed=2)
        ... except ValidationError as error:
        ...     describe_findings(error, Settings)
        "no key is called 'sed'. Did you mean seeds? Known: seeds"
    """
    findings = [_describe_finding(item, model, kind) for item in error.errors()[:MOST_FINDINGS]]
    more = error.error_count() - len(findings)
    return "; ".join([*findings, *([f"and {more} more"] if more else [])])


def _describe_finding(item: Any, model: type[BaseModel] | None, kind: str) -> str:
    """One of pydantic's findings; its own words are kept where they have no `should`."""
    path, message = ".".join(map(str, item["loc"])), str(item["msg"])
    if item["type"] == "extra_forbidden" and model is not None:
        *place, key = item["loc"]
        return _join(".".join(map(str, place)), explain_unknown(kind, str(key), _fields_at(model, place)))
    if item["type"] == "missing":
        return f"{path} is required"
    if item["type"] in ("value_error", "assertion_error"):  # raised by a validator of ours, which says what to do
        return _join(path, str(item["ctx"]["error"]))
    try:
        got = repr(item["input"])
    except (ValueError, RecursionError):  # an integer with more digits than Python writes, or endless lists
        got = "one that cannot be shown"
    got = got if len(got) <= LONGEST_INPUT else f"{got[:LONGEST_INPUT]}…"
    subject, should, rest = message.partition(" should ")
    if should and path:
        return f"{path} must {rest}, got {got}"
    return _join(path, f"{subject[:1].lower()}{message[1:]}, got {got}")


def _join(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message


def _fields_at(model: type[BaseModel], place: Iterable[Any]) -> list[str]:
    """The fields of the model that stands at a place inside another, in lists of models too."""
    for part in place:
        if isinstance(part, str):
            inner = list(_models_in(model.model_fields[part].annotation)) if part in model.model_fields else []
            if not inner:
                return []
            model = inner[0]
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation such as `list[Model] | None` names."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
