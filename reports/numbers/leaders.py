"""Where no learned optimizer ran: which hand-designed one ends lowest on each task, and how often each does."""

import pandas as pd

from l2obench.reports.numbers.familiarity import name_family

COLUMNS = ["task", "family", "optimizer", "track", "mean_final_loss", "low", "high", "seeds", "failures"]
COLUMNS += ["second", "second_mean"]
COUNTS = ["optimizer", "tasks", "families"]


def leaders(final_losses: pd.DataFrame) -> pd.DataFrame:
    """Give the optimizer with the lowest mean final loss of each task, and the next best other one.

    Args:
        final_losses: as `l2obench.reports.numbers.final_losses.final_losses` gives it, the lowest of a task first.
    """
    keys = [name for name in ("run", "task") if name in final_losses]
    first = final_losses.drop_duplicates(keys)
    names = first.set_index(keys)["optimizer"]
    is_other = final_losses.set_index(keys)["optimizer"].ne(names.reindex(final_losses.set_index(keys).index))
    others = final_losses[is_other.to_numpy()].drop_duplicates(keys)
    second = others[[*keys, "optimizer", "mean_final_loss"]]
    second = second.rename(columns={"optimizer": "second", "mean_final_loss": "second_mean"})
    found = first.merge(second, on=keys, how="left")
    found["family"] = found["task"].map(lambda task: name_family(str(task)))
    return found[[*(["run"] if "run" in found else []), *COLUMNS]]


def count_leaders(table: pd.DataFrame) -> pd.DataFrame:
    """Count the tasks that each optimizer leads, and their families; the most tasks come first.

    Args:
        table: as `leaders` gives it.
    """
    counted = table.groupby("optimizer", sort=False).agg(tasks=("task", "size"), families=("family", "nunique"))
    return counted.sort_values("tasks", ascending=False, kind="stable").reset_index()[COUNTS]
