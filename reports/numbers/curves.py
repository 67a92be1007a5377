"""What the figures draw, as numbers: learning curves with their bands, final losses, learning-rate landscapes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats import interquartile_mean
from l2obench.reports.cells.table import CellRows, CellTable, TaskRows, table_of_cells
from l2obench.reports.numbers.bands import band
from l2obench.reports.numbers.counting import compute_mean_loss, counted_losses, groups, iqm
from l2obench.reports.numbers.reference import main_tracks

# Points of a curve: a figure is 6.4 inches wide, and more cannot be told apart there.
POINTS = 150

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MetricCurve:
    """One optimizer's losses or held-out metric over the steps: the interquartile mean over seeds, with a 95 % band.

    A seed that failed has no place in a mean; `label` says how many there are.
    """

    optimizer: str
    label: str
    learned: bool
    track: str
    steps: Floats
    middle: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Curve(MetricCurve):
    """One optimizer's losses over time, with what time costs."""

    step_seconds: float
    update_seconds: float
    step_gradients: float
    """Gradients evaluated in a step."""
    state_bytes: float
    tuning_passes: float
    seeds: Floats
    """The losses behind the mean, `[seeds, points]`."""


@dataclass(frozen=True)
class FinalLosses:
    """One optimizer's final losses, of seeds that did not fail, and their mean over all, a failed one infinite."""

    optimizer: str
    label: str
    losses: Floats
    mean: float
    low: float
    high: float
    iqm: float
    failures: int


@dataclass(frozen=True)
class Landscape:
    """Mean final loss at every learning rate that tuning tried; infinite where a seed diverged."""

    optimizer: str
    rates: Floats
    means: Floats
    chosen: float
    at_edge: bool


@dataclass(frozen=True)
class TaskPlots:
    """All that is drawn of one task in one run; `title` names both, `run` is empty where there is only one run."""

    task: str
    run: str
    title: str
    window: int
    curves: list[Curve]
    spreads: list[FinalLosses]
    landscapes: list[Landscape]


def task_plots(cells: pd.DataFrame | CellTable, tuning: pd.DataFrame) -> list[TaskPlots]:
    """What is drawn of every task in every run, in their order: figures and page draw the same numbers.

    Args:
        cells: rows of the kind `cells`, of one run or several.
        tuning: rows of the kind `tuning`, of the same runs.
    """
    found, several = [], "run" in cells
    tried = {tuple(key.values()): rows for key, rows in groups(tuning, "task")}
    for task in table_of_cells(cells).tasks:
        run, name = task.first("run") if several else "", task.task
        found.append(
            TaskPlots(
                task=name,
                run=run,
                title=f"{name} in {run}" if several else name,
                window=int(task.first("final_window")),
                curves=learning_curves(task),
                spreads=final_loss_spreads(task),
                landscapes=landscapes(tried.get((run, name) if several else (name,), tuning.iloc[:0])),
            )
        )
    return found


def learning_curves(task: TaskRows) -> list[Curve]:
    """Curves of a task's optimizers, each in its tuned track, or in its default one where it has no other.

    Args:
        task: the rows of one task in one run.
    """
    return [_curve(rows) for rows in main_tracks(task)]


def final_loss_spreads(task: TaskRows) -> list[FinalLosses]:
    """Final losses of the same tracks, the lowest mean first.

    Args:
        task: the rows of one task in one run.
    """
    spreads = []
    for rows in main_tracks(task):
        losses = rows.losses
        mean = compute_mean_loss(rows)
        spreads.append(
            FinalLosses(
                optimizer=rows.optimizer,
                label=label_curve(rows),
                losses=losses[np.isfinite(losses)],
                mean=mean.estimate,
                low=mean.low,
                high=mean.high,
                iqm=iqm(rows),
                failures=rows.failures,
            )
        )
    return sorted(spreads, key=lambda spread: spread.mean)


def landscapes(tried: pd.DataFrame) -> list[Landscape]:
    """Landscapes of the optimizers that were tuned on a task, of the rates that ran the whole horizon.

    Args:
        tried: rows of the kind `tuning`, of one task in one run.
    """
    found = []
    for key, every in groups(tried, "optimizer"):
        rows = every[every["steps"] == every["steps"].max()]
        means = rows.assign(loss=counted_losses(rows)).groupby("lr", sort=True)["loss"].mean()
        chosen = float(rows["lr"][rows["chosen"].eq(True)].max())
        at_edge = bool(rows["at_edge"].any()) if "at_edge" in rows else False
        found.append(Landscape(key["optimizer"], means.index.to_numpy(), means.to_numpy(), chosen, at_edge))
    return found


def running_mean(losses: Floats, window: int, steps: NDArray[np.int64]) -> Floats:
    """Average losses over a window that ends at each of some steps.

    Args:
        losses: `[seeds, steps + 1]`.
        window: losses in each mean; near the start there are fewer.
        steps: where to evaluate, `[points]`.

    Returns:
        `[seeds, points]`.

    Example:
        >>> running_mean(np.array([[4.0, 2.0, 0.0]]), window=2, steps=np.array([0, 2])).tolist()
        [[4.0, 1.0]]
    """
    return np.stack([losses[:, max(0, step - window + 1) : step + 1].mean(-1) for step in steps], axis=-1)


def _curve(rows: CellRows) -> Curve:
    ok = [losses for losses, ok in zip(rows.trajectories, rows.ok, strict=True) if ok]
    window, horizon = int(rows.first("final_window")), int(rows.first("steps"))
    steps = np.unique(np.linspace(0, horizon, min(horizon + 1, POINTS)).round().astype(np.int64))
    middle = low = high = np.full(len(steps), np.nan)
    losses = np.empty((0, len(steps)))
    if len(ok):
        losses = running_mean(np.stack(ok).astype(np.float64), window, steps)
        middle = interquartile_mean(losses, axis=0)
        low, high = band(losses) if len(ok) > 1 else (middle, middle)
    update, step = rows.step_seconds
    cost = {name: rows.largest(name) for name in ("state_bytes", "tuning_passes", "backward_passes")}
    return Curve(
        optimizer=rows.optimizer,
        label=label_curve(rows),
        learned=rows.learned,
        track=rows.track,
        steps=steps.astype(np.float64),
        middle=middle,
        low=low,
        high=high,
        step_seconds=step,
        update_seconds=update,
        step_gradients=cost["backward_passes"] / horizon if horizon else np.nan,
        state_bytes=cost["state_bytes"],
        tuning_passes=cost["tuning_passes"],
        seeds=losses,
    )


def label_curve(rows: CellRows) -> str:
    """Name an optimizer, that it is untuned if it is a hand-designed one, and how many of its seeds failed.

    Args:
        rows: of one cell.
    """
    name = rows.optimizer
    if not is_tuned(rows.track) and not rows.learned:
        name += ", untuned"
    if not rows.failures:
        return name
    word = "diverged" if set(rows.values("status")) <= {"ok", "diverged"} else "failed"
    return f"{name} ({rows.failures} of {len(rows)} {word})"
