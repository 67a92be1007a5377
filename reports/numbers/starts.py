"""Learned rules against learned initialisations: final losses by the start of a task, its horizon and the optimizer."""

import pandas as pd

from l2obench.bench.config.identity import IdentityError, format_identity, parse_identity
from l2obench.reports.numbers.counting import table_of

RANDOM = "random"
"""The start of a task without a parameter of that name: drawn at random."""
COLUMNS = ["family", "steps", "start", "optimizer", "track", "seeds", "failures", "mean_final_loss", "low", "high"]


def starts(cells: pd.DataFrame, final_losses: pd.DataFrame) -> pd.DataFrame:
    """Mean final losses with their 95 % intervals, of the families that have another start than a random one.

    Rows are in the order of the cells, by family and horizon.

    Args:
        cells: rows of one run or several.
        final_losses: as `l2obench.reports.numbers.final_losses.final_losses` gives it.
    """
    known = {task: _family_and_start(task) for task in cells["task"].unique()}
    compared = {family for family, start in known.values() if start != RANDOM}
    final_losses = final_losses[[known[task][0] in compared for task in final_losses["task"]]]
    if final_losses.empty:
        return table_of(cells, COLUMNS, [])
    place = {key: k for k, key in enumerate(dict.fromkeys(_keys(cells)))}
    table = final_losses.assign(
        family=[known[task][0] for task in final_losses["task"]],
        start=[known[task][1] for task in final_losses["task"]],
        steps=final_losses["task"].map(cells.drop_duplicates("task").set_index("task")["steps"]),
        place=[place[key] for key in _keys(final_losses)],
    )
    columns = [*(["run"] if "run" in cells else []), *COLUMNS]
    return table.sort_values(["family", "steps", "place"], kind="stable")[columns].reset_index(drop=True)


def _family_and_start(task: str) -> tuple[str, str]:
    """The task without its start and its horizon, and its start."""
    try:
        name, parameters = parse_identity(task)
    except IdentityError:
        return task, RANDOM
    start = str(parameters.get("start") or RANDOM)
    return format_identity(
        name, {key: value for key, value in parameters.items() if key not in {"start", "horizon"}}
    ), start


def _keys(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    names = [name for name in ("run", "task", "optimizer", "track") if name in frame]
    return list(frame[names].itertuples(index=False, name=None))
