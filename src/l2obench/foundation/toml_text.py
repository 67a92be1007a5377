"""TOML that someone else wrote, as plain values: whatever is wrong with it is one error, also how deep it is."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

# No file of ours nests deeper than 4. pydantic and printing recurse as deep as values do.
MAX_DEPTH = 20
# Of a.b.c…; the library takes seconds for thousands of parts.
_LONG_KEY = re.compile(r"""(?<![\w."'-])(?:[\w"'-]+[ \t]*\.[ \t]*){100}""")


class TomlError(ValueError):
    """A text that is not TOML, or is nested too deep. The message is one line without the file's name."""


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: the whole file.

    Raises:
        TomlError: it is not TOML, a number in it is too long, or it is nested too deep.

    Example:
        >>> parse_toml("x = " + 30 * "[" + 30 * "]")
        Traceback (most recent call last):
        l2obench.foundation.toml_text.TomlError: it must be nested at most 20 deep
    """
    if _LONG_KEY.search(text) is not None:
        raise TomlError(f"it must be nested at most {MAX_DEPTH} deep")
    try:
        values = tomllib.loads(text)
    # Besides its own errors: of numbers with more digits than Python converts.
    except ValueError as error:
        raise TomlError(f"it is not TOML: {error}") from error
    except RecursionError as error:
        raise TomlError(f"it must be nested at most {MAX_DEPTH} deep") from error
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        if not level:
            return values
        inner = [value for value in level if isinstance(value, Mapping | list)]
        level = [item for value in inner for item in (value.values() if isinstance(value, Mapping) else value)]
    raise TomlError(f"it must be nested at most {MAX_DEPTH} deep")
