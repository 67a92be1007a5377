"""Arrays out of a pickle file of NumPy, without unpickling: a file's instructions are read and never obeyed.

Unpickling runs whatever a file names. Here a call in the file is kept as data, a name and its arguments, and only those
that make an array of NumPy are understood.
"""

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors

# Published files have about 300 instructions; a hostile one could have millions, each of a byte.
MOST_INSTRUCTIONS = 10_000
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS_AND_TEXTS = ("BININT", "BININT1", "BININT2", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES")
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NO_ARRAYS = "it must be a pickle file of named float32 arrays, as Open-L2O writes it"


@dataclass(eq=False)
class _Call:
    """What a file would have called: never called here."""

    arguments: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Name:
    """A function or class that a file names: never imported here."""

    text: str


_MARK = object()


def parse_pickled_arrays(content: bytes) -> Tensors:
    """The arrays of a nested dict by their path, such as `lstm_1/w_gates`.

    Args:
        content: the whole file.

    Raises:
        TensorFileError: the file holds anything but dicts of finite float32 arrays.
    """
    try:
        tree = _read(content)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(NO_ARRAYS) from error
    flat: Tensors = {}
    for module, arrays in _items(tree).items():
        for name, value in _items(arrays).items():
            flat[f"{module}/{name}"] = torch.from_numpy(_array(f"{module}/{name}", value))
    return flat


def _items(value: Any) -> Mapping[Any, Any]:
    """A dict, or a call that made one."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, _Call) or not value.items:
        raise TensorFileError(NO_ARRAYS)
    return value.items


def _array(name: str, value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An array from the state that NumPy gives one: version, shape, type, order of axes, bytes."""
    try:
        _, shape, kind, by_columns, content = value.state
        letters, order = kind.arguments[0], kind.state[1]
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise TensorFileError(f"{name} must be an array of NumPy") from error
    plain = (letters, order, by_columns) == ("f4", "<", False) and isinstance(content, bytes)
    if not plain or not all(isinstance(size, int) and size > 0 for size in shape):
        raise TensorFileError(f"{name} must be an array of float32, row by row")
    if len(content) != 4 * math.prod(shape):
        raise TensorFileError(f"{name} must have {math.prod(shape)} values, got {len(content) / 4:g}")
    found = np.frombuffer(content, dtype="<f4").reshape(shape).astype(np.float32)
    if not np.isfinite(found).all():
        raise TensorFileError(f"{name} must be finite, got NaN or infinity")
    return found


def _read(content: bytes) -> Any:
    """The value that the file describes, its calls as `_Call`."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for count, (code, argument, _) in enumerate(pickletools.genops(content)):
        name = code.name
        if count > MOST_INSTRUCTIONS:
            raise ValueError("too many instructions")
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in NUMBERS_AND_TEXTS:
            stack.append(argument)
        elif name == "GLOBAL":
            stack.append(_Name(str(argument)))
        elif name in ("EMPTY_DICT", "MARK"):
            stack.append({} if name == "EMPTY_DICT" else _MARK)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in TUPLES:
            values = stack[len(stack) - TUPLES[name] :]
            del stack[len(stack) - TUPLES[name] :]
            stack.append(tuple(values))
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(function, _Name | _Call):
                raise ValueError("only what a file names can be called")
            stack.append(_Call(arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name in ("SETITEM", "SETITEMS"):
            values = _since_mark(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            into = stack[-1] if isinstance(stack[-1], dict) else stack[-1].items
            into.update(zip(values[::2], values[1::2], strict=True))
        elif name == "STOP":
            return stack.pop()
        elif name != "PROTO":
            raise ValueError(f"unexpected instruction {name}")
    raise ValueError("the file ends early")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take what lies above the last mark, and the mark."""
    place = len(stack) - 1 - stack[::-1].index(_MARK)
    values = stack[place + 1 :]
    del stack[place:]
    return values
