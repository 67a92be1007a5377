"""How rows count: a failed seed is an infinite loss, and the best baseline of a task is the one to beat."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.config.budget import is_tuned, parse_budget
from l2obench.bench.stats import Interval, bootstrap_mean, interquartile_mean, steps_to_target
from l2obench.reports.cells.table import CellRows, CellTable, TaskRows
from l2obench.reports.classes import is_in_class


def groups(frame: pd.DataFrame, *names: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Iterate over the key and the rows of every group, in the frame's order, runs kept apart.

    Args:
        frame: rows of one run, or of several with a column `run`.
        names: columns to group by; `run` comes first by itself.
    """
    columns = [*(["run"] if "run" in frame else []), *names]
    for key, rows in frame.groupby(columns, sort=False, dropna=False):
        yield dict(zip(columns, key, strict=True)), rows


def table_of(frame: pd.DataFrame | CellTable, columns: list[str], rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A table of these columns, after a column `run` where the frame that it is made from has one.

    Args:
        frame: decides whether there is a column `run`.
        columns: those of the table, in their order.
        rows: one dict a row; what a dict lacks is missing in the table.
    """
    return pd.DataFrame(rows, columns=[*(["run"] if "run" in frame else []), *columns])


def manifest_of(key: Mapping[str, Any], manifests: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The manifest of a group's run, or of the only run; empty where there is none.

    Args:
        key: that of a group, as `groups` gives it.
        manifests: by the label of their run.
    """
    return manifests.get(key["run"], {}) if "run" in key else next(iter(manifests.values()), {})


def fact(facts: Any, name: str) -> float:
    """A number out of a manifest, which may hold anything; missing where it holds none.

    Args:
        facts: a part of a manifest.
        name: the key of the number.

    Example:
        >>> fact({"seconds": 3}, "seconds"), fact("no table", "seconds")
        (3.0, nan)
    """
    value = facts.get(name) if isinstance(facts, Mapping) else None
    return float(value) if isinstance(value, int | float) else np.nan


def recipe_of(rows: CellRows, manifest: Mapping[str, Any]) -> Any:
    """Give the recipe of a learned optimizer's checkpoint; None where the manifest has none.

    Args:
        rows: of one learned optimizer.
        manifest: of their run.
    """
    return (manifest.get("recipes") or {}).get(rows.first("checkpoint_sha256"))


def meta_training_of(optimizer: str, manifest: Mapping[str, Any]) -> Any:
    """Give what an optimizer's meta-training took; None where the manifest does not say.

    Args:
        optimizer: its identity.
        manifest: of its run.
    """
    known = (manifest.get("costs") or {}).get("optimizers") or {}
    return (known.get(optimizer) or {}).get("meta_training")


def counted_losses(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Final losses `[seeds]`; infinite for a seed that failed.

    Args:
        rows: one a seed.

    Example:
        >>> rows = pd.DataFrame({"status": ["ok", "diverged"], "final_loss": [0.5, 0.1]})
        >>> counted_losses(rows).tolist()
        [0.5, inf]
    """
    losses = rows["final_loss"].to_numpy(dtype=np.float64, na_value=np.nan)
    counted = (rows["status"] == "ok").to_numpy() & ~np.isnan(losses)
    return np.where(counted, losses, np.inf)


def counted_heldout(rows: CellRows, column: str, worst: float) -> float:
    """Mean of a held-out metric over all seeds, a failed one at the worst value; missing where the task has none.

    Args:
        rows: one a seed.
        column: `heldout_loss` or `heldout_accuracy`.
        worst: what a failed seed counts as: infinity for a loss, 0 for an accuracy.
    """
    values = rows.numbers(column)
    known = rows.ok & ~np.isnan(values)
    return float(np.where(known, values, worst).mean()) if known.any() else np.nan


def counted_steps(rows: CellRows, target: float) -> NDArray[np.float64]:
    """Steps to a target loss `[seeds]`; infinite without a trajectory, and everywhere if the target is not finite.

    Args:
        rows: one a seed, of one cell: its final window averages the losses.
        target: the loss to reach.
    """
    steps = np.full(len(rows), np.inf)
    if not np.isfinite(target):
        return steps
    known = np.array([losses is not None for losses in rows.trajectories])
    if known.any():
        losses = np.stack([losses for losses in rows.trajectories if losses is not None])
        steps[known] = steps_to_target(losses, target, min(int(rows.first("final_window")), losses.shape[1]))
    return steps


def seconds(rows: pd.DataFrame, column: str) -> float:
    """Give the seconds of one optimizer's timing; NaN if it was not timed.

    Args:
        rows: of `timing`, of one optimizer.
        column: of the seconds.
    """
    return float(rows[column].astype(float).iloc[0])


def step_seconds(rows: pd.DataFrame) -> tuple[float, float]:
    """Seconds of an update and of a whole step (gradient and update); missing where nothing was timed.

    Args:
        rows: of `timing`, of one optimizer.

    Returns:
        Seconds of an update, then of a step.
    """
    if rows.empty:
        return np.nan, np.nan
    update = seconds(rows, "update_seconds")
    return update, update + seconds(rows, "grad_seconds")


def compute_mean_loss(rows: CellRows) -> Interval:
    """Compute the mean final loss with its 95 % bootstrap interval; infinite where a seed failed.

    Args:
        rows: of one cell.
    """
    return _mean(rows.losses.tobytes())


# A table, a figure and the page show the same mean: its 10,000 resamples are drawn once.
@lru_cache(maxsize=20_000)
def _mean(losses: bytes) -> Interval:
    return bootstrap_mean(np.frombuffer(losses, dtype=np.float64))


def iqm(rows: CellRows) -> float:
    """Compute the interquartile mean of the final losses.

    Args:
        rows: of one cell.
    """
    return float(interquartile_mean(rows.losses))


def best_baseline(task: TaskRows, of_class: CellRows | None = None) -> CellRows | None:
    """The rows of the baseline with the lowest mean final loss on a task; none if no baseline ran.

    Each counts in every track in which it ran: tuning on few seeds can end above the default. The choice is made on the
    evaluation seeds themselves, which favours the baseline.

    Args:
        task: the rows of one task in one run.
        of_class: rows of an optimizer; only baselines that look at nothing more count (`l2obench.reports.classes`).
            None: all baselines.
    """
    return best_of(task.baselines, of_class)


def best_tuned_baseline(task: TaskRows) -> CellRows | None:
    """The best of the baselines that were tuned; the best of all where none was.

    Args:
        task: the rows of one task in one run.
    """
    found = best_of([rows for rows in task.baselines if is_tuned(rows.track)])
    return best_baseline(task) if found is None else found


def best_of(baselines: Sequence[CellRows], of_class: CellRows | None = None) -> CellRows | None:
    """The same among these baselines.

    Args:
        baselines: the rows of each.
        of_class: as `best_baseline` takes it.
    """
    candidates = [rows for rows in baselines if of_class is None or is_in_class(rows, of_class)]
    if not candidates:
        return None
    lowest = min(rows.mean_loss for rows in candidates)
    # Failures and interquartile means decide between equal means only; of all baselines they take most of the time.
    tied = [rows for rows in candidates if rows.mean_loss == lowest]
    return tied[0] if len(tied) == 1 else min(tied, key=lambda rows: (rows.failures, iqm(rows)))


def strongest_track(tracks: Iterable[str]) -> str:
    """The track that stands for an optimizer where it has several: `tuned`, the largest budget, else the first.

    Args:
        tracks: those in which it ran.

    Example:
        >>> strongest_track(["default", "budget=8", "budget=32"])
        'budget=32'
    """
    found = list(tracks)
    if "tuned" in found:
        return "tuned"
    budgets = [(budget.trials, track) for track in found if (budget := parse_budget(track)) is not None]
    return max(budgets)[1] if budgets else found[0]
