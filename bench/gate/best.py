"""The best baselines of HEAD beside a cell: the best of its class, and the best of all."""

from collections.abc import Sequence

import numpy as np

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.config.optimizer_facts import sees_no_more
from l2obench.bench.gate.side import Recorded


def best_baselines(cell: Recorded, head: Sequence[Recorded]) -> tuple[str | None, str | None]:
    """Name the hand-designed optimizers of HEAD with the lowest mean final loss on the task of a cell.

    Each counts in every track in which it ran. A seed that failed makes a mean infinite. Of equals a tuned one counts,
    then the first.

    Args:
        cell: of HEAD; the class is that of its optimizer.
        head: HEAD's cells.

    Returns:
        The best of those that look at nothing more than the cell's optimizer does, and the best of all. None where
        there is none.
    """
    here = [item for item in head if not item.learned and (item.key[0], item.suite) == (cell.key[0], cell.suite)]
    ordered = sorted(here, key=lambda item: (_mean(item), not is_tuned(item.key[2])))
    of_class = [item for item in ordered if sees_no_more(item.uses, cell.uses)]
    return _name(of_class), _name(ordered)


def _mean(cell: Recorded) -> float:
    losses = cell.rows["final_loss"].to_numpy(dtype=float)
    fine = (cell.rows["status"].to_numpy() == "ok") & np.isfinite(losses)
    # Divided first: a sum of losses near the largest number overflows.
    return float((losses / losses.size).sum()) if fine.all() and losses.size else np.inf


def _name(cells: Sequence[Recorded]) -> str | None:
    return f"{cells[0].key[1]} {cells[0].key[2]}" if cells else None
