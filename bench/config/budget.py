"""The tracks `budget=N` and `heldout-budget=N`: the same number of quasi-random trials for every optimizer."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from l2obench.optimizers.search_space import RATE, REGULARIZERS, SCHEDULES, Dimension

if TYPE_CHECKING:
    from l2obench.optimizers.base import Optimizer

MAX_TRIALS = 1024
"""Of a budget. Nobody tries more by hand, and so many rows of each seed still fit into memory."""
_BUDGET = re.compile(r"(heldout-)?budget=([1-9][0-9]{0,8})")
FIXED = ("default", "tuned")
"""Tracks without a budget."""


@dataclass(frozen=True)
class Budget:
    """How many trials an optimizer has, and what chooses among them."""

    trials: int
    heldout: bool
    """Whether the mean held-out loss chooses, and regularizers are searched too; else the mean final training loss."""


def parse_budget(track: str) -> Budget | None:
    """Read the budget out of a track; None for a track without one.

    Args:
        track: `default`, `tuned`, `budget=N` or `heldout-budget=N`.

    Example:
        >>> parse_budget("heldout-budget=32"), parse_budget("tuned")
        (Budget(trials=32, heldout=True), None)
    """
    found = _BUDGET.fullmatch(track)
    return Budget(int(found[2]), found[1] is not None) if found else None


def require_track(track: str) -> str:
    """Return a track unchanged, if it is one.

    Args:
        track: what a suite or a command names.

    Raises:
        ValueError: it is none, or its budget is too large.

    Example:
        >>> require_track("budget=0")
        Traceback (most recent call last):
        ValueError: a track must be default, tuned, budget=N or heldout-budget=N, got 'budget=0'. Try: budget=32
    """
    budget = parse_budget(track)
    if budget is None and track not in FIXED:
        raise ValueError(f"a track must be default, tuned, budget=N or heldout-budget=N, got {track!r}. Try: budget=32")
    if budget is not None and budget.trials > MAX_TRIALS:
        raise ValueError(f"a budget must be at most {MAX_TRIALS:,} trials, got {budget.trials:,}. Try: budget=32")
    return track


def is_tuned(track: str) -> bool:
    """Say whether hyperparameters were chosen on tuning seeds in this track.

    Args:
        track: of a row of results; it may hold anything.
    """
    return track == "tuned" or parse_budget(track) is not None


def search_space(rule: "Optimizer", heldout: bool = False) -> dict[str, Dimension]:
    """Give the hyperparameters of a rule that a budget of trials searches.

    A rule that declares none has its learning rate searched, where that is tunable, with a schedule.

    Args:
        rule: what the user gave it stays as it is.
        heldout: whether the trials are chosen by held-out loss; then regularizers are searched too.

    Example:
        >>> from l2obench.optimizers.designed.sgd import SGD
        >>> list(search_space(SGD())), list(search_space(SGD(lr=0.1)))
        (['lr', 'schedule', 'warmup'], ['schedule', 'warmup'])
    """
    declared = rule.search_space
    if declared is None:
        declared = dict.fromkeys(rule.tunable, RATE)
        # A rule that knows the horizon, or has fields of these names, has a schedule of its own.
        own = "horizon" in rule.uses or SCHEDULES.keys() & type(rule).model_fields.keys()
        declared |= SCHEDULES if declared and not own else {}
    return {
        name: dimension
        for name, dimension in declared.items()
        if name not in rule.model_fields_set and (heldout or name not in REGULARIZERS)
    }
