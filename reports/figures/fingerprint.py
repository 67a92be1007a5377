"""The SHA-256 of all that a figure is drawn from: its arguments, to the last bit, and the code that draws."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

FIGURES, OURS = Path(__file__).parent, __name__.rpartition(".")[0]


def fingerprint(value: Any) -> str:
    """Hash a value by what it holds, not by where it lies: equal values have equal hashes in every process.

    Args:
        value: numbers, texts, arrays, frames, dataclasses, functions of this package and partial ones, in lists, tuples
            and dicts.

    Raises:
        TypeError: it holds something else, of which not all that counts may be known.

    Example:
        >>> fingerprint({"a": [1.0, "b"]}) == fingerprint({"a": [1.0, "b"]}) != fingerprint({"a": [1, "b"]})
        True
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        # The length before each part: two texts are not the one that they make together.
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


@cache
def drawing_code() -> str:
    """Hash the code that draws: the modules of figures, how numbers are written, and matplotlib's version."""
    files = [*sorted(FIGURES.glob("*.py")), FIGURES.with_name("formats.py")]
    return fingerprint([matplotlib.__version__, *((file.name, file.read_bytes()) for file in files)])


def _parts(value: Any) -> Iterator[bytes]:
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, bool | int | float | str):
        yield repr(value).encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, np.generic | np.ndarray | pd.Series | pd.Index):
        yield str(value.dtype).encode()
        yield from _parts(value.tolist())
    elif isinstance(value, pd.DataFrame):
        yield from _parts({str(name): column for name, column in value.items()} | {"index": value.index})
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _parts(name)
            yield from _parts(item)
    elif isinstance(value, Sequence):
        yield str(len(value)).encode()
        for item in value:
            yield from _parts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif isinstance(value, partial):
        yield from _parts([value.func, list(value.args), value.keywords])
    elif value is pd.NA:
        yield b"NA"
    elif callable(value) and str(value.__module__).startswith(OURS) and "<" not in value.__qualname__:
        yield f"{value.__module__}.{value.__qualname__}".encode()
    else:
        raise TypeError(f"a figure is made from values that can be hashed, got a {type(value).__qualname__}")
