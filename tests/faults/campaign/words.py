"""Hostile words, numbers and bytes, and files that were damaged: what all kinds of inputs are made of."""

import json
from random import Random
from typing import Any

NAMES = [
    "adam", "sgd", "lstm", "quadratic", "quick", "mnist-mlp", "lstm[checkpoint=quadratic]", "adam[lr=0.1]", "", " ",
    ".", "..", "/", "-", "--", "[", "]", "[]", "a[", "a[b", "a[b=", "a[b=]", "a[=c]", "a[b=c,]", 'a[b="c]',
    "\x1b[2J\x1b[31m", "\x9b31m", "\u202eevil", "\u2066x\u2069", "a\nb", "a\rb", "a\tb", "\udcff", "\ufeffadam", "é",
    "学习率", "constructor", "__proto__", "toString", "=1+1", "@SUM(A1)", "<script>alert(1)</script>", "{{7*7}}",
    "${x}", "$\\frac$", "%s%n%x", "a" * 300, "x" * 5000, "[" * 500, "a[b=" + "[" * 500, "quadratic[dim=1|2|3]",
    "quadratic[dim=-1]", "quadratic[dim=1e9]", "quadratic[horizon=0]", "adam[lr=nan]", "adam[lr=inf]",
    "adam[lr=1e400]", "adam[beta1=2]", "adam[lr=0.1,lr=0.2]", "adam[lrr=1]", f"adam[lr={'9' * 5000}]",
    "torch.optim.Adam", "torch.optim.Adam[betas=[0.9,0.99]]", "torch.optim.Adam[betas=(0.9,0.99)]",
    "torch.optim.LBFGS", "os:system", "os.system", "builtins:exec", "sys:exit", "json:JSONDecoder",
    "l2obench.__main__:x", "a.b.c:d", ".:", "..:x", "a..b:c", "./:X", "./none.py:X", "/dev/zero.py:X", "/dev/null",
    "/proc/self/mem", "/etc/passwd", "../../etc/passwd", "~", "~nobody/x", "none.toml", "none.safetensors",
    "none.parquet", "file:///etc/passwd",
]  # fmt: skip
"""Names as someone might give them for a task, an optimizer, a suite, a file or a folder."""
NUMBERS = [
    "0",
    "1",
    "2",
    "-1",
    "1e9",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9" * 400,
    "0x10",
    "1_000",
    "",
    " ",
    "one",
    "١",
    "1.5",
    "1,5",
]
"""Numbers as someone might write them."""
TEXTS = [name for name in NAMES if "\udcff" not in name]
"""Names that UTF-8 can hold."""
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**62, 0.5, -0.5, 1e308, 1e-320, float("nan"), float("inf"), "", "x", [], {},
    [[]], {"a": {}},
]  # fmt: skip
"""Values of JSON and TOML."""


def damage(content: bytes, rng: Random) -> bytes:
    """Cut, overwrite, lengthen or exchange some bytes.

    Args:
        content: of a good file.
        rng: decides.
    """
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        place = rng.randrange(max(1, len(changed)))
        place = rng.choice([place, min(place, 400), max(0, len(changed) - 1 - place % 400)])
        match rng.randrange(6):
            case 0:
                del changed[place:]
            case 1:
                changed[place : place + 8] = rng.randbytes(8)
            case 2:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 3:
                changed += rng.randbytes(rng.choice([1, 10, 1000]))
            case 4:
                del changed[place : place + rng.choice([1, 4, 100])]
            case 5:
                changed[place:place] = rng.choice([b"\0" * 8, b"\xff" * 8, b"[" * 500, b'"', b"{", b"\n", b"=", b"#"])
    return bytes(changed)


def exchange(value: Any, rng: Random, depth: int = 0) -> Any:
    """Exchange something in a value of JSON.

    Args:
        value: any.
        rng: decides.
        depth: of the value in another.
    """
    if depth > 0 and rng.random() < 0.3:
        return rng.choice([*VALUES, *TEXTS])
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        match rng.randrange(8):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return value | {rng.choice(TEXTS): rng.choice(VALUES)}
        return value | {key: exchange(value[key], rng, depth + 1)}
    if isinstance(value, list) and value:
        place = rng.randrange(len(value))
        return [*value[:place], exchange(value[place], rng, depth + 1), *value[place + 1 :]]
    return rng.choice([*VALUES, *TEXTS])


def dump(value: Any) -> bytes:
    """JSON as Python writes it, which may have NaN."""
    return json.dumps(value).encode()
