"""Where the results of a run are: in a folder that is given, or below `results` under the name of its suite."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from l2obench.bench.store.results_file import StoreError

RESULTS = Path("results")
"""Where `l2obench run` keeps a run by default, in a folder with the name of its suite."""

LONGEST_NAME = 100
"""Characters of a folder's name; a longer one is cut, and ends with a hash of the whole."""


def find_results(given: str | Path) -> Path:
    """Find results by their path, or by the name of their suite.

    Args:
        given: what exists as given wins: a folder, or a file. Else a name in `results`, as in `quick`.

    Raises:
        StoreError: there is neither.
    """
    named = RESULTS / given
    for path in (Path(given), named):
        if os.path.exists(path):
            return path
    raise StoreError(f"{given} is no run: neither {given} nor {named} exists. Try: l2obench run, with --out {named}")


def name_matrix(tasks: Iterable[str], optimizers: Iterable[str]) -> str:
    """Name the folder of a run that has no suite, after what it runs.

    Args:
        tasks: identities. Their order does not matter, nor does that of the optimizers.
        optimizers: identities.

    Example:
        >>> name_matrix(["quadratic"], ["lstm[checkpoint=mnist]", "adam[lr=0.1]"])
        'quadratic--adam-lr-0.1+lstm-mnist'
    """
    sides = [sorted(set(tasks)), sorted(set(optimizers))]
    readable = "--".join("+".join(map(_to_word, side)) for side in sides)
    if len(readable) <= LONGEST_NAME:
        return readable
    digest = hashlib.sha256("\n".join(map(repr, sides)).encode()).hexdigest()[:8]
    return f"{readable[: LONGEST_NAME - len(digest) - 1].rstrip('+-.')}-{digest}"


def _to_word(identity: str) -> str:
    """An identity in letters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", identity.replace("[checkpoint=", "[")).strip("-._") or "unnamed"
