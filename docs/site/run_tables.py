"""Tables of the reference runs that numbers in prose stand for, by the names in docs/numbers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.cells.table import CELL, CellTable
from l2obench.reports.numbers.amortization import amortization
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import answer_frame
from l2obench.reports.numbers.comparison import Comparison, compare
from l2obench.reports.numbers.costs import costs
from l2obench.reports.numbers.counting import best_baseline, counted_heldout, groups
from l2obench.reports.numbers.final_losses import final_losses
from l2obench.reports.numbers.wins import wins
from l2obench.reports.reading import ReportData, read_results

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


@cache
def read(run: str) -> ReportData:
    """The rows of a reference run, or of several of one suite as if they were one.

    Args:
        run: the name of its folder; several are joined by a plus sign, the last one with the learned optimizers.
    """
    data = read_results([REFERENCE / name for name in run.split("+")])
    if "+" not in run:
        return data
    joined = {name: getattr(data, name).assign(run=run) for name in ("cells", "tuning", "trials")}
    manifests = list(data.manifests.values())
    recipes = {checkpoint: recipe for manifest in manifests for checkpoint, recipe in manifest["recipes"].items()}
    return replace(data, **joined, manifests={run: manifests[-1] | {"recipes": recipes}})


@cache
def analyse(run: str) -> Analysis:
    """Give the numbers of a run, each computed once.

    Args:
        run: as `read` takes it.
    """
    return Analysis(read(run))


def _headline(run: Analysis) -> pd.DataFrame:
    table = run.headline.drop(columns=["baseline"])
    return table.assign(
        wins=(table["win_rate"] * table["seeds"]).round(), percent=100 * table["win_rate"], pairs=table["seeds"]
    )


def _compared(found: Comparison) -> dict[str, float]:
    typical, share = found.found.typical, found.found.win_rate.estimate
    return (
        {"ratio": found.ratio.estimate, "low": found.ratio.low, "high": found.ratio.high}
        | {"typical_ratio": typical.estimate, "typical_low": typical.low, "typical_high": typical.high}
        | {"percent": 100 * share, "wins": round(share * found.seeds), "pairs": found.seeds}
        | {"losses": found.seeds - round(share * found.seeds)}
    )


def _in_class(run: Analysis) -> pd.DataFrame:
    """Every learned optimizer against the best tuned baseline of its class, as the headline has it against the best."""
    rows = []
    tuned = run.cells[run.cells["learned"].eq(True) | run.cells["track"].map(is_tuned).astype(bool)]
    for task in CellTable(tuned).tasks:
        for own in task.learned_cells:
            baseline = best_baseline(task, of_class=own)
            if baseline is None or not (found := compare(own, baseline)).seeds:
                continue
            rows.append(
                own.key(*CELL)
                | _compared(found)
                | {"mean_final_loss": own.mean_loss, "baseline_mean_final_loss": baseline.mean_loss}
            )
    return pd.DataFrame(rows)


def _losses(run: Analysis) -> pd.DataFrame:
    """Mean, median and failures of every cell, with its held-out metrics."""
    rows = [
        own.key(*CELL)
        | {"mean": own.mean_loss, "median": np.median(own.losses), "seeds": len(own)}
        | {"least": own.losses.min(), "most": own.losses.max()}
        | {"failures": own.failures, "tuning_passes": own.largest("tuning_passes")}
        | {"heldout_loss": counted_heldout(own, "heldout_loss", np.inf)}
        | {"heldout_accuracy": counted_heldout(own, "heldout_accuracy", 0.0)}
        for own in run.table.cells
    ]
    return pd.DataFrame(rows)


def _cells(run: Analysis) -> pd.DataFrame:
    """The final loss of every trajectory, with its number among those of its cell, from 0 on."""
    kept = run.cells[["task", "optimizer", "track", "seed", "status", "final_loss"]]
    return kept.assign(nth=kept.groupby(["task", "optimizer", "track"], sort=False).cumcount())


def _curves(run: Analysis) -> pd.DataFrame:
    """The mean loss of every cell, over the window of its final loss, at every step; infinite where a seed failed."""
    frames = []
    for own in run.table.cells:
        losses = np.stack(own.trajectories).astype(float)
        window = min(int(own.first("final_window")), losses.shape[1])
        windows = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(losses, nan=np.inf), window, axis=1)
        with np.errstate(over="ignore"):
            means = windows.mean(axis=(0, 2))
        steps = np.arange(window - 1, losses.shape[1])
        frames.append(
            pd.DataFrame({**own.key(*CELL), "step": steps, "mean": means, "lowest_at": int(steps[np.argmin(means)])})
        )
    return pd.concat(frames, ignore_index=True)


def _verdicts(run: Analysis) -> pd.DataFrame:
    """On how many tasks each learned optimizer has each verdict of the headline."""
    rows = [
        key
        | {"tasks": own["task"].nunique()}
        | {name: int(own["verdict"].eq(word).sum()) for name, word in (("better", "better"), ("worse", "worse"))}
        for key, own in groups(run.headline, "optimizer")
    ]
    return pd.DataFrame(rows)


def _recipe_counts(run: Analysis) -> pd.DataFrame:
    """On how many tasks each recipe of several trainings has each verdict."""
    rows = [
        {"rule": rule, "trainings": int(own["trainings"].max()), "tasks": len(own)}
        | {word: int(own["verdict"].eq(word).sum()) for word in ("better", "worse")}
        | {"all_lower": int(own["highest"].lt(1).sum()), "median_ratio": own["typical_ratio"].median()}
        for rule, own in run.recipe_verdicts.groupby("rule")
    ]
    return pd.DataFrame(rows)


def _costs(run: Analysis) -> pd.DataFrame:
    """What every optimizer costs, with its times in multiples of Adam's, and the operations that were counted."""
    times = run.step_times.drop(columns=["state_bytes"])
    counted = run.results.timing[["task", "optimizer", "update_flops"]]
    found = costs(run.cells, run.manifests, run.results.timing)
    for more in (times, counted):
        found = found.merge(more, on=["task", "optimizer"], how="left")
    return found.assign(counted_flops_per_coordinate=found["update_flops"] / found["parameters"])


@cache
def pairs(run: str, optimizer: str, track: str, against: str, against_track: str, against_task: str) -> pd.DataFrame:
    """One optimizer against another on each task that both ran on, by the code that decides verdicts.

    `heldout_ratio` is that of mean held-out losses.

    Args:
        run: as `read` takes it.
        optimizer: what divides.
        track: of its rows.
        against: by what it is divided; `the best`, of its tuned baselines.
        against_track: of its rows.
        against_task: the task of its rows, where it is another one; the same, where empty.
    """
    cells = {(cell.task, cell.optimizer, cell.track): cell for cell in analyse(run).table.cells}
    rows = []
    for (task, *own_name), own in cells.items():
        other = cells.get((against_task or task, against, against_track))
        if own_name == [optimizer, track] and other is not None and (found := compare(own, other)).seeds:
            heldout = [counted_heldout(cell, "heldout_loss", np.inf) for cell in (own, other)]
            rows.append(own.key("task") | _compared(found) | {"heldout_ratio": heldout[0] / heldout[1]})
    return pd.DataFrame(rows)


TABLES: Mapping[str, Callable[[Analysis], pd.DataFrame]] = {
    "headline": _headline,
    "in_class": _in_class,
    "losses": _losses,
    "cells": _cells,
    "final_losses": lambda run: final_losses(run.cells),
    "curves": _curves,
    "costs": _costs,
    "recipes": lambda run: run.recipe_verdicts,
    "recipe_counts": _recipe_counts,
    "verdicts": _verdicts,
    "heldout": lambda run: run.heldout,
    "tuning": lambda run: run.tuning,
    "by_task": lambda run: run.by_task,
    "time_to_target": lambda run: run.time_to_target,
    "wins": lambda run: wins(run.cells, run.manifests).drop(columns=["against_uses"]),
    "amortization": lambda run: amortization(run.cells, run.results.tuning, run.results.trials, run.manifests).drop(
        columns=["baseline"]
    ),
    "trials_to_match": lambda run: run.trials_to_match,
    "matched_over_tasks": lambda run: run.matched_over_tasks,
    "answers": lambda run: answer_frame(run.answers),
}
"""Tables by the names that docs/numbers uses. `pairs` is another, made for what it compares."""


@cache
def table(run: str, name: str) -> pd.DataFrame:
    """A table of a reference run.

    Args:
        run: the name of its suite.
        name: one of `TABLES`.

    Raises:
        KeyError: there is no such table.
    """
    return TABLES[name](analyse(run))
