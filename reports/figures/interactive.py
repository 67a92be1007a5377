"""The numbers of the interactive charts, which the page's script draws: thinned and rounded, ready for JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.reports import formats
from l2obench.reports.numbers.curves import Curve, TaskPlots
from l2obench.reports.numbers.heldout_curves import HeldoutPlot
from l2obench.reports.numbers.profiles import Profile

# Significant digits of a number in the page. A chart shows fewer, and each digit costs a byte for every point.
DIGITS = 5
CURVE_NUMBERS = 400_000
"""How many numbers the curves of a page may have, so that 50 optimizers × 50 tasks stay within its size."""
SEED_NUMBERS = 300_000
MOST_SEEDS, MOST_DOTS = 20, 60
LEAST_POINTS, LEAST_SEED_POINTS = 30, 8


OfTask = TypeVar("OfTask", TaskPlots, Profile, HeldoutPlot)


@dataclass(frozen=True)
class Detail:
    """How finely curves are given: points of a mean and its band, and of a single seed."""

    points: int
    seed_points: int


def detail(plots: Sequence[TaskPlots]) -> Detail:
    """As fine as a page has room for.

    Args:
        plots: all tasks of the page.

    Returns:
        Points of each curve: fewer where there are more curves, and never less than can be read.
    """
    curves = [curve for task in plots for curve in task.curves]
    seeds = sum(min(len(curve.seeds), MOST_SEEDS) for curve in curves)
    return Detail(
        points=max(LEAST_POINTS, CURVE_NUMBERS // max(3 * len(curves), 1)),
        seed_points=max(LEAST_SEED_POINTS, SEED_NUMBERS // max(seeds, 1)),
    )


def task_view(
    plots: Sequence[TaskPlots],
    fine: Detail,
    profiles: Sequence[Profile] = (),
    heldout: Sequence[HeldoutPlot] = (),
) -> dict[str, Any]:
    """One task, in every run that has it, as the script reads it.

    Args:
        plots: of one task, one a run.
        fine: points of every curve.
        profiles: of all tasks.
        heldout: held-out metrics over the steps, of all tasks.
    """
    return {
        "task": formats.join_lines(plots[0].task),
        "window": plots[0].window,
        "profiles": profile_views(profiles, plots[0].task),
        "curves": [_curve(task, curve, fine) for task in plots for curve in task.curves],
        "heldout": heldout_views(heldout, plots[0].task),
        "landscapes": [
            {
                "run": formats.join_lines(task.run),
                "optimizer": landscape.optimizer,
                "rates": _rounded(landscape.rates),
                "means": _rounded(landscape.means),
                "chosen": _rounded([landscape.chosen])[0],
                "edge": landscape.at_edge,
            }
            for task in plots
            for landscape in task.landscapes
        ],
    }


def profile_views(found: Sequence[Profile], task: str) -> list[dict[str, Any]]:
    """The performance profiles of a task, or of all tasks, at every fourth τ.

    Args:
        found: profiles of all tasks.
        task: a task's identity, or `all tasks`.
    """
    return [
        {
            "run": formats.join_lines(profile.run or ""),
            "optimizer": profile.optimizer,
            "measure": profile.measure,
            "taus": _rounded(profile.taus[::4]),
            "shares": _rounded(profile.shares.estimate[::4], 4),
            "low": _rounded(profile.shares.low[::4], 4),
            "high": _rounded(profile.shares.high[::4], 4),
        }
        for profile in found
        if profile.task == task
    ]


def heldout_views(found: Sequence[HeldoutPlot], task: str) -> list[dict[str, Any]]:
    """The held-out curves of a task, a list for each metric.

    Args:
        found: those of all tasks.
        task: a task's identity.
    """
    metrics = dict.fromkeys(plot.metric for plot in found if plot.task == task)
    return [
        {
            "metric": formats.join_lines(metric),
            "curves": [
                {
                    "run": formats.join_lines(plot.run),
                    "optimizer": curve.optimizer,
                    "steps": _rounded(curve.steps),
                    "middle": _rounded(curve.middle),
                    "low": _rounded(curve.low),
                    "high": _rounded(curve.high),
                }
                for plot in found
                if (plot.task, plot.metric) == (task, metric)
                for curve in plot.curves
            ],
        }
        for metric in metrics
    ]


def _curve(task: TaskPlots, curve: Curve, fine: Detail) -> dict[str, Any]:
    spread = next(spread for spread in task.spreads if spread.optimizer == curve.optimizer)
    points, seed_points = (_thinned(len(curve.steps), count) for count in (fine.points, fine.seed_points))
    drawn = curve.seeds[:MOST_SEEDS]
    single: dict[str, Any] = {"seedSteps": _rounded(curve.steps[seed_points]), "seeds": []} if len(drawn) else {}
    if single:
        single["seeds"] = [_rounded(losses[seed_points], 4) for losses in drawn]
    return {
        "run": formats.join_lines(task.run),
        "optimizer": curve.optimizer,
        "label": formats.join_lines(curve.label + (f" · {task.run}" if task.run else "")),
        "learned": curve.learned,
        "steps": _rounded(curve.steps[points]),
        "middle": _rounded(curve.middle[points]),
        "low": _rounded(curve.low[points]),
        "high": _rounded(curve.high[points]),
        **single,
        "seedCount": len(curve.seeds) + spread.failures,
        "failures": spread.failures,
        "perStep": {"seconds": _rounded([curve.step_seconds])[0], "gradients": _rounded([curve.step_gradients])[0]},
        "cost": {
            "run": _rounded([curve.step_seconds * curve.steps[-1]])[0],
            "update": _rounded([curve.update_seconds])[0],
            "memory": _rounded([curve.state_bytes])[0],
            "tuning": _rounded([curve.tuning_passes])[0],
        },
        "final": {
            "mean": _rounded([spread.mean])[0],
            "low": _rounded([spread.low])[0],
            "high": _rounded([spread.high])[0],
            "shown": formats.format_number(spread.mean),
            "dots": _rounded(spread.losses[:MOST_DOTS], 4),
        },
    }


def _thinned(length: int, count: int) -> NDArray[np.int64]:
    """Positions of `count` points of `length`, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(length, count)).round().astype(np.int64))


def _rounded(values: Any, digits: int = DIGITS) -> list[Any]:
    """Numbers of a few significant digits; null for a missing one, and words for what JSON cannot write."""
    return [plain(float(f"{value:.{digits}g}")) for value in np.asarray(values, dtype=np.float64).tolist()]


def plain(value: Any) -> Any:
    """A value as JSON can write it: null for a missing one, words for an infinite one.

    Args:
        value: a number, a text, or what stands for a missing one; numbers of numpy become Python's.

    Example:
        >>> plain(float("inf")), plain(float("nan")), plain(np.float64(2.0))
        ('inf', None, 2)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, str):
        return formats.join_lines(value)
    if value is None or value is pd.NA:
        return None
    return value


def by_task(items: Sequence[OfTask]) -> Mapping[str, list[OfTask]]:
    """Collect what is of each task, in the order in which tasks first appear.

    Args:
        items: of all tasks and runs.
    """
    found: dict[str, list[OfTask]] = {}
    for item in items:
        found.setdefault(item.task, []).append(item)
    return found
