"""How numba compiles the kernel, and where it keeps the programs; the constants that all parts of the kernel share."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as typed_numba
import numpy as np
from numpy.typing import NDArray

# Its types know neither the options that spare the counting of references nor the folder of programs.
numba: Any = typed_numba
Array = NDArray[Any]
Function = Callable[..., Any]

# Coordinates whose features are in memory at once: 24 of them, and four units, fit into the first cache.
BLOCK = 256
# numba takes a number of Python for a double: every constant says that it is single.
ZERO, HALF, ONE, TWO, CLIP = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2), np.float32(0.1)
# Under roots of r and c, beside r and c as features, and beside g²; as in `accumulators`.
SMALLEST, SMALLEST_KEPT, SMALLEST_SQUARE = np.float32(1e-9), np.float32(1e-8), np.float32(1e-30)
DECAYS = 3
# Sums may be taken in any order, and products be added without rounding. NaN and infinity stay what they are.
ANY_ORDER = {"reassoc", "nsz", "contract"}


def compiled(*, entry: bool = False, in_order: bool = False, inline: bool = False) -> Callable[[Function], Function]:
    """Give a decorator that compiles a function at its first call.

    Args:
        entry: whether Python calls it. Its program holds those of all functions that it calls, and is kept on disk. The
            others make no arrays and return none: they are spared the counting of references, which costs as much as
            the arithmetic of a block.
        in_order: whether sums are taken in the order that is written.
        inline: whether its code is put where it is called: vectors that are passed go by way of memory.
    """
    options: dict[str, Any] = {
        "fastmath": {"contract"} if in_order else ANY_ORDER,
        "error_model": "numpy",
        "nogil": True,
    }

    def decorate(function: Function) -> Function:
        if not entry:
            part: Function = numba.njit(
                _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=inline, **options
            )(function)
            return part
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(FOLDER or "")
        try:
            made: Function = numba.njit(cache=FOLDER is not None, **options)(function)
        finally:
            numba.config.CACHE_DIR = before
        return made

    return decorate


def _folder_of_programs() -> Path | None:
    """A folder for each state of these files, since numba only asks whether the file of a function itself has changed.

    None where it cannot be written: each process compiles for itself then.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    try:
        caches = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "l2obench" / "numba" / hashlib.sha256(sources).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


FOLDER = _folder_of_programs()


@compiled()
def keep_within(value: Any, limit: Any) -> Any:
    """The value, no further than a limit from 0. NaN stays NaN.

    Args:
        value: a number.
        limit: the limit.
    """
    kept = limit if value > limit else value
    return -limit if kept < -limit else kept


@compiled()
def blend(old: Any, new: Any, weight: Any) -> Any:
    """(1 − weight) · old + weight · new as `torch.lerp` has it, exact at weights of 0 and of 1.

    Args:
        old: a number.
        new: a number.
        weight: 1 − β.
    """
    near_old = weight < HALF
    return (old if near_old else new) + (weight if near_old else weight - ONE) * (new - old)
