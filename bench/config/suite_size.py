"""How large a suite is, counted before any task or optimizer of it is made."""

import math
from typing import TYPE_CHECKING

from l2obench.bench.config.trainings import MAX_TRAININGS

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Suite

# Ten times what the largest deployment measured (docs/scale.md). Each cell is a file, and a name in memory.
MAX_CELLS = 100_000


class TooLarge(ValueError):
    """A suite with more cells or trainings than can be run."""

    exit_code = 2


def require_possible(suite: "Suite") -> None:
    """Refuse a suite whose matrix is too large, before its cells are listed.

    Args:
        suite: with the suites that it includes.

    Raises:
        TooLarge: it has too many cells or trainings.
    """
    trainings = _count_trainings(suite)
    if trainings > MAX_TRAININGS:
        raise TooLarge(f"a suite must have at most {MAX_TRAININGS:,} trainings, got {trainings:,}. Try: smaller grids")
    cells = _count_cells(suite)
    if cells > MAX_CELLS:
        raise TooLarge(
            f"a suite must have at most {MAX_CELLS:,} cells, got up to {cells:,}. Try: smaller grids, or several suites"
        )


def _count_trainings(suite: "Suite") -> int:
    own = sum(math.prod(map(len, training.grid.values())) for training in suite.trainings)
    return own + sum(map(_count_trainings, suite.parts))


def _count_cells(suite: "Suite") -> int:
    everywhere = len(suite.optimizers) + sum(math.prod(map(len, item.grid.values())) for item in suite.trainings)
    own = sum(
        math.prod(map(len, item.grid.values())) * (everywhere + len(item.optimizers)) * len(suite.tracks)
        for item in suite.tasks
    )
    return own + sum(map(_count_cells, suite.parts))


def count_suites(suite: "Suite") -> int:
    """Count a suite and all that it includes.

    Args:
        suite: one that is loaded.
    """
    return 1 + sum(map(count_suites, suite.parts))
