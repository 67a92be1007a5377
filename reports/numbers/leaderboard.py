"""The leaderboard: every optimizer of several runs, by how near it comes to the best on each family of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.stats.pairs import pair_losses
from l2obench.bench.stats.signed_rank import hodges_lehmann
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.counting import counted_losses
from l2obench.reports.numbers.familiarity import name_family
from l2obench.reports.numbers.pooled_runs import CELL
from l2obench.reports.numbers.tally import quantile_of_ratios

NEAR = 1.1
"""An optimizer is near the best where its typical ratio is at most so many times the lowest one."""
# A row that shows nothing but dashes beside the few columns that a page has room for.
MOST_COLUMNS = 12
OTHERS = "others"


@dataclass(frozen=True)
class Family:
    """A column of the leaderboard."""

    name: str
    tasks: list[str]


@dataclass(frozen=True)
class Leaderboard:
    """The rows of a leaderboard, and what they count."""

    families: list[Family]
    numbers: pd.DataFrame
    """One row for each optimizer and track, the first of the order first.

    `near_best` is a share of all tasks, `near_best_of_own` of those that it ran; then `tasks`, `failing`, and for each
    family `FAMILY ratio` (the median of the typical ratios), `FAMILY tasks` and `FAMILY failing`."""
    left_out: list[str]
    """Tasks without a ratio: no baseline ended them, or losses are negative."""
    baselines: pd.DataFrame
    """Task, and the baseline that its ratios divide by, with its track."""

    @property
    def tasks(self) -> int:
        """Tasks that count."""
        return sum(len(family.tasks) for family in self.families)

    def shown(self) -> pd.DataFrame:
        """The same rows as people read them, one column for each family."""
        table = self.numbers[["optimizer", "track"]].copy()
        table["near the best"] = [f"{share:.0%}" for share in self.numbers["near_best"]]
        table["of the tasks it ran"] = [f"{share:.0%}" for share in self.numbers["near_best_of_own"]]
        table[f"tasks, of {self.tasks}"] = [str(count) for count in self.numbers["tasks"]]
        for family in self.families:
            ratios, counts, failing = (self.numbers[f"{family.name} {what}"] for what in ("ratio", "tasks", "failing"))
            table[title(family)] = [
                _cell(ratio, tasks, fails, len(family.tasks))
                for ratio, tasks, fails in zip(ratios, counts, failing, strict=True)
            ]
        return table


def title(family: Family) -> str:
    """Name a column with its number of tasks.

    Args:
        family: of the column.

    Example:
        >>> title(Family("quadratic", ["quadratic", "quadratic[dim=20]"]))
        'quadratic (2 tasks)'
    """
    return f"{family.name} ({len(family.tasks)} task{'' if len(family.tasks) == 1 else 's'})"


def leaderboard(cells: pd.DataFrame) -> Leaderboard:
    """Rank optimizers by the share of tasks on which they come near the best.

    On each task every optimizer is compared with the best baseline on the seeds that both ran: the typical ratio of
    final losses, where a failed seed is an infinite loss. Families count alike, and a task that an optimizer did not
    run counts as one where it is not near the best.

    Args:
        cells: as `pool` gives them.
    """
    found, baselines, left_out = [], [], []
    for task, rows in cells.groupby("task", sort=False):
        reference = best_baseline_of(rows)
        ratios = None if reference is None else _ratios(rows, reference)
        if reference is None or ratios is None:
            left_out.append(str(task))
            continue
        baselines.append((task, reference["optimizer"].iloc[0], reference["track"].iloc[0]))
        found.append(ratios.assign(near=ratios["ratio"] <= NEAR * ratios["ratio"].min()))
    every = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*CELL, "learned", "ratio"])
    families = group_families(dict.fromkeys(every["task"]))
    rows_of = [_row(key, rows, families) for key, rows in every.groupby(["optimizer", "track"], sort=False)]
    numbers = pd.DataFrame(rows_of, columns=None if rows_of else ["optimizer", "track", "near_best", "tasks"])
    order = ["near_best", "tasks", "optimizer", "track"]
    numbers = numbers.sort_values(order, ascending=[False, False, True, True], kind="stable", ignore_index=True)
    return Leaderboard(families, numbers, left_out, pd.DataFrame(baselines, columns=["task", "baseline", "track"]))


def group_families(tasks: Sequence[str] | dict[str, None]) -> list[Family]:
    """Group tasks by their families, and small families until they fit on a page.

    Args:
        tasks: identities.

    Returns:
        At most `MOST_COLUMNS`, in the order of their names. Families whose names begin alike, as `practice-vae` and
        `practice-burgers`, are one; beyond the limit those with the fewest tasks are `others`.

    Example:
        >>> [family.name for family in group_families(["mnist-mlp", "mnist-mlp[units=40]", "practice-vae"])]
        ['mnist-mlp', 'practice']
    """
    names = {task: _family_name(task) for task in tasks}
    sizes = pd.Series(list(names.values()), dtype=object).value_counts(sort=False)
    ranked = sorted(sizes.index, key=lambda name: (-sizes[name], name))
    kept = ranked if len(ranked) <= MOST_COLUMNS else ranked[: MOST_COLUMNS - 1]
    columns = [*sorted(kept), *([OTHERS] if len(kept) < len(ranked) else [])]
    return [
        Family(column, [task for task, name in names.items() if (name if name in kept else OTHERS) == column])
        for column in columns
    ]


def best_baseline_of(task: pd.DataFrame) -> pd.DataFrame | None:
    """Give the baseline with the lowest mean final loss on the seeds that all baselines ran; None where all fail.

    Args:
        task: rows of one task.
    """
    baselines = [rows for _, rows in task[task["learned"].eq(False)].groupby(["optimizer", "track"], sort=False)]
    common = min((len(rows) for rows in baselines), default=0)
    means = [float(_losses(rows)[:common].mean()) for rows in baselines] if common else []
    if not means or not np.isfinite(min(means)):
        return None
    return baselines[int(np.argmin(means))]


def _ratios(task: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame | None:
    """The typical ratio of every cell of a task to a baseline; None where losses have no ratio."""
    baseline, rows = _losses(reference), []
    floor = float(task["floor"].max())
    for (optimizer, track), cell in task.groupby(["optimizer", "track"], sort=False):
        losses = _losses(cell)
        # Seeds are 0, 1, …: what both have are the first ones.
        common = min(len(losses), len(baseline))
        pairs = pair_losses(losses[:common], baseline[:common], floor)
        if pairs.measure != "ratio":
            return None
        typical = float(np.exp(hodges_lehmann(np.sort(pairs.contrasts))))
        failed, learned = int(np.isinf(losses).sum()), bool(cell["learned"].eq(True).any())
        rows.append((cell["task"].iloc[0], optimizer, track, learned, typical, failed > 0))
    return pd.DataFrame(rows, columns=[*CELL, "learned", "ratio", "failing"])


def _losses(rows: pd.DataFrame) -> NDArray[np.float64]:
    return counted_losses(rows.sort_values("seed"))


def _row(key: object, rows: pd.DataFrame, families: Sequence[Family]) -> dict[str, object]:
    optimizer, track = key if isinstance(key, tuple) else (key, "")
    near = set(rows.loc[rows["near"], "task"])
    row: dict[str, object] = {
        "optimizer": optimizer,
        "track": track,
        "learned": bool(rows["learned"].any()),
        "near_best": float(np.mean([len(near.intersection(family.tasks)) / len(family.tasks) for family in families])),
        "near_best_of_own": len(near) / len(rows),
        "tasks": len(rows),
        "failing": int(rows["failing"].sum()),
    }
    for family in families:
        here = rows[rows["task"].isin(family.tasks)]
        row[f"{family.name} ratio"] = quantile_of_ratios(here["ratio"], 0.5) if len(here) else np.nan
        row[f"{family.name} tasks"] = len(here)
        row[f"{family.name} failing"] = int(here["failing"].sum())
    return row


def _cell(ratio: float, tasks: int, failing: int, total: int) -> str:
    """A median ratio with what it leaves out: tasks that did not run, and those on which a seed failed."""
    if not tasks:
        return "—"
    remarks = [f"{tasks}/{total}"] if tasks < total else []
    remarks += [f"fails on {failing}"] if failing else []
    return format_number(float(f"{ratio:.3g}")) + (f" ({', '.join(remarks)})" if remarks else "")


def _family_name(task: str) -> str:
    name = name_family(task)
    return name.partition("-")[0] if name.startswith("practice-") else name
