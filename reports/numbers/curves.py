"""What the figures draw, as numbers: learning curves with their bands, final losses, learning-rate landscapes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats import interquartile_mean
from l2obench.reports.numbers.bands import band
from l2obench.reports.numbers.counting import (
    compute_mean_loss,
    count_failed,
    counted_losses,
    groups,
    iqm,
    is_learned,
    seconds,
)
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


def task_plots(cells: pd.DataFrame, tuning: pd.DataFrame) -> list[TaskPlots]:
    """What is drawn of every task in every run, in their order: figures and page draw the same numbers.

    Args:
        cells: rows of the kind `cells`, of one run or several.
        tuning: rows of the kind `tuning`, of the same runs.
    """
    found = []
    for key, task in groups(cells, "task"):
        run, name = key.get("run", ""), key["task"]
        tried = tuning[tuning["task"] == name]
        tried = tried if "run" not in key else tried[tried["run"] == run]
        found.append(
            TaskPlots(
                task=name,
                run=run,
                title=f"{name} in {run}" if "run" in key else name,
                window=int(task["final_window"].iloc[0]),
                curves=learning_curves(task),
                spreads=final_loss_spreads(task),
                landscapes=landscapes(tried),
            )
        )
    return found


def learning_curves(task: pd.DataFrame) -> list[Curve]:
    """Curves of a task's optimizers, each in its tuned track, or in its default one where it has no other.

    Args:
        task: the rows of one task in one run.
    """
    return [_curve(rows) for rows in main_tracks(task)]


def final_loss_spreads(task: pd.DataFrame) -> list[FinalLosses]:
    """Final losses of the same tracks, the lowest mean first.

    Args:
        task: the rows of one task in one run.
    """
    spreads = []
    for rows in main_tracks(task):
        losses = counted_losses(rows)
        mean = compute_mean_loss(rows)
        spreads.append(
            FinalLosses(
                optimizer=rows["optimizer"].iloc[0],
                label=label_curve(rows),
                losses=losses[np.isfinite(losses)],
                mean=mean.estimate,
                low=mean.low,
                high=mean.high,
                iqm=iqm(rows),
                failures=count_failed(rows),
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


def _curve(rows: pd.DataFrame) -> Curve:
    ok = rows[rows["status"] == "ok"]
    window, horizon = int(rows["final_window"].iloc[0]), int(rows["steps"].iloc[0])
    steps = np.unique(np.linspace(0, horizon, min(horizon + 1, POINTS)).round().astype(np.int64))
    middle = low = high = np.full(len(steps), np.nan)
    losses = np.empty((0, len(steps)))
    if len(ok):
        losses = running_mean(np.stack(ok["loss"].to_list()).astype(np.float64), window, steps)
        middle = interquartile_mean(losses, axis=0)
        low, high = band(losses) if len(ok) > 1 else (middle, middle)
    update = seconds(rows, "update_seconds")
    cost = {name: float(rows[name].astype(float).max()) for name in ("state_bytes", "tuning_passes", "backward_passes")}
    return Curve(
        optimizer=rows["optimizer"].iloc[0],
        label=label_curve(rows),
        learned=is_learned(rows),
        track=str(rows["track"].iloc[0]),
        steps=steps.astype(np.float64),
        middle=middle,
        low=low,
        high=high,
        step_seconds=seconds(rows, "grad_seconds") + update,
        update_seconds=update,
        step_gradients=cost["backward_passes"] / horizon if horizon else np.nan,
        state_bytes=cost["state_bytes"],
        tuning_passes=cost["tuning_passes"],
        seeds=losses,
    )


def label_curve(rows: pd.DataFrame) -> str:
    """Name an optimizer, that it is untuned if it is a hand-designed one, and how many of its seeds failed.

    Args:
        rows: of `cells`, of one cell.
    """
    name = str(rows["optimizer"].iloc[0])
    if not is_tuned(rows["track"].iloc[0]) and not is_learned(rows):
        name += ", untuned"
    if not count_failed(rows):
        return name
    word = "diverged" if set(rows["status"]) <= {"ok", "diverged"} else "failed"
    return f"{name} ({count_failed(rows)} of {len(rows)} {word})"
