"""Identities: `mnist-mlp[activation=relu,units=40]`, the same on the command line, in a suite and in results."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_NAME = re.compile(r"[^\[\]\"=,]+\.py(?::[^\[\]\"=,\s]*)?|[A-Za-z0-9_.:-]+")  # a file's class, or a name
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A training draws from each of them.
MAX_ALTERNATIVES = 1_000
_JSON = re.compile(r'"|\[|\{"|\{\}')  # `{name}` is a text, which suites fill in
_BARE = re.compile(r"[^\[\],=\"\s]+")


class IdentityError(ValueError):
    """An identity that cannot be read."""

    exit_code = 2


def parse_identity(text: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of an identity.

    Args:
        text: `name` or `name[key=value,…]`. A text with a comma, bracket, quote or space stands in JSON quotes; lists
            and objects are written as JSON, `betas=[0.9,0.99]`.

    Returns:
        The name, and the parameters by their keys. Numbers, `true`, `false` and `null` become Python's.

    Raises:
        IdentityError: `text` is not of that form.

    Example:
        >>> parse_identity("mnist-mlp[activation=relu,units=40]")
        ('mnist-mlp', {'activation': 'relu', 'units': 40})
        >>> parse_identity("torch.optim.Adam[betas=[0.9,0.99]]")
        ('torch.optim.Adam', {'betas': [0.9, 0.99]})
    """
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise IdentityError(
            f"{text!r} must be Unicode text, got bytes that are not UTF-8. Try: another name of the file"
        )
    match = _NAME.match(text)
    if match is None:
        raise IdentityError(f"{text!r} is not an identity; expected name or name[key=value,…]")
    name, rest = match.group(), text[match.end() :]
    if not rest:
        return name, {}
    if not (rest.startswith("[") and rest.endswith("]")):
        raise IdentityError(f"{text!r} is not an identity; expected {name} or {name}[key=value,…]")
    parameters: dict[str, Any] = {}
    position, body = 0, rest[1:-1]
    while position < len(body):
        key = _KEY.match(body, position)
        if key is None or body[key.end() : key.end() + 1] != "=":
            raise IdentityError(f"{text!r}: expected key=value at {body[position:]!r}")
        if key.group() in parameters:
            raise IdentityError(f"{text!r} gives {key.group()} twice")
        parameters[key.group()], position = _value(text, body, key.end() + 1)
        if position < len(body):
            if body[position] != "," or position + 1 == len(body):
                raise IdentityError(f"{text!r}: expected ',key=value' at {body[position:]!r}")
            position += 1
    return name, parameters


def _value(text: str, body: str, position: int) -> tuple[Any, int]:
    if (begun := _JSON.match(body, position)) is not None:
        try:
            return json.JSONDecoder().raw_decode(body, position)
        except (ValueError, RecursionError) as error:
            what = "a quoted value does not end" if begun.group() == '"' else f"no JSON at {body[position:]!r}"
            raise IdentityError(f"{text!r}: {what}") from error
    if body.startswith("(", position):
        raise IdentityError(f"{text!r}: a tuple must be written as a list. Try: [0.9,0.99]")
    bare = _BARE.match(body, position)
    if bare is None:
        raise IdentityError(f"{text!r}: a value is missing at {body[position:]!r}")
    return _typed(bare.group()), bare.end()


def _typed(text: str) -> Any:
    """Numbers, true, false and null from their spelling; anything else is a string."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def alternatives(text: str) -> list[str]:
    """The identities that `name[key=a|b]` stands for: one for every combination of the values between bars.

    One without bars stands for itself.

    Args:
        text: an identity whose values may hold bars.

    Raises:
        IdentityError: `text` is no identity, or stands for too many.

    Example:
        >>> alternatives("mnist-mlp[layers=1|2]")
        ['mnist-mlp[layers=1]', 'mnist-mlp[layers=2]']
    """
    name, parameters = parse_identity(text)
    values = [
        [_typed(word) for word in value.split("|")] if isinstance(value, str) else [value]
        for value in parameters.values()
    ]
    if (count := math.prod(map(len, values))) > MAX_ALTERNATIVES:
        raise IdentityError(f"{name}[…] must stand for at most {MAX_ALTERNATIVES:,} identities, got {count:,}")
    combinations = list(itertools.product(*values))
    if len(combinations) == 1:
        return [text]
    return [format_identity(name, dict(zip(parameters, chosen, strict=True))) for chosen in combinations]


def format_identity(name: str, parameters: Mapping[str, Any]) -> str:
    """Write an identity in its one spelling: parameters sorted, numbers in their shortest form.

    Args:
        name: of a task or an optimizer.
        parameters: its parameters that differ from their defaults.

    Example:
        >>> format_identity("adam", {"lr": 0.10, "beta1": 0.9})
        'adam[beta1=0.9,lr=0.1]'
    """
    if not parameters:
        return name
    return f"{name}[{','.join(f'{key}={_spelled(value)}' for key, value in sorted(parameters.items()))}]"


def _spelled(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, default=str)
    text = str(value)
    plain = (
        isinstance(value, str)
        and text != "{}"
        and not text.startswith("(")
        and _BARE.fullmatch(text)
        and _typed(text) == text
    )
    return text if plain or isinstance(value, int) else json.dumps(text)


def changed_parameters(model: BaseModel) -> dict[str, Any]:
    """The fields that were given a value other than their default.

    Args:
        model: a task or an optimizer.

    Returns:
        Values by field. One that was given its default is left out: both ways to say the same are one identity.
    """
    fields = type(model).model_fields
    given = {key: getattr(model, key) for key in model.model_fields_set if key in fields}
    return {key: value for key, value in given.items() if value != fields[key].default}
