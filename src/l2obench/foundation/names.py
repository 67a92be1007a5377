"""Misspelt names: the message that answers one with the nearest names and with all that there are."""

import difflib
from collections.abc import Iterable

# difflib's default of 0.6 would not answer `mlp` with `mnist-mlp`, which are alike by 0.5.
SIMILARITY = 0.5


def explain_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is nothing of a name, which names are near it, and which there are.

    Args:
        kind: what was asked for, such as `optimizer`.
        name: the name that was given.
        known: all names of that kind, in any order.

    Returns:
        One line.

    Example:
        >>> explain_unknown("optimizer", "adma", ["sgd", "adam"])
        "no optimizer is called 'adma'. Did you mean adam? Known: adam, sgd"
    """
    names = sorted(known)
    return f"no {kind} is called {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the names that are near a misspelt one; empty where none is.

    Args:
        name: the name that was given.
        known: all names, in any order.

    Example:
        >>> did_you_mean("betas1", ["lr", "betas"])
        ' Did you mean betas?'
    """
    nearest = difflib.get_close_matches(name, sorted(known), n=3, cutoff=SIMILARITY)
    return f" Did you mean {' or '.join(nearest)}?" if nearest else ""
