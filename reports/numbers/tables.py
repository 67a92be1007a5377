"""The tables of a report, one pure function each: frames of rows in, one frame of numbers out.

A seed that failed counts: its loss is infinite, its accuracy 0, and no table leaves it out. Frames of several runs have
a column `run`, and so have their tables then. Numbers stay numbers; `l2obench.reports.formats` writes them out.
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.stats import Interval, bootstrap, holm, median, paired_test, ratio_of_means
from l2obench.reports.numbers.counting import (
    best_baseline,
    counted_heldout,
    counted_losses,
    counted_steps,
    failed,
    groups,
    iqm,
    seconds,
)
from l2obench.reports.numbers.reference import goal

Row = dict[str, Any]
UNKNOWN = Interval(np.nan, np.nan, np.nan)


def final_losses(cells: pd.DataFrame) -> pd.DataFrame:
    """Final losses of every (task, optimizer, track), with 95 % bootstrap intervals; a task's lowest mean first."""
    columns = ["task", "optimizer", "track", "learned", "lr", "seeds", "failures", "mean_final_loss", "low", "high"]
    columns += ["iqm_final_loss", "heldout_loss", "heldout_accuracy"]
    rows: list[Row] = []
    for _, task in groups(cells, "task"):
        here = [key | _final_loss(seeds) for key, seeds in groups(task, "task", "optimizer", "track")]
        rows += sorted(here, key=lambda row: (row["mean_final_loss"], row["failures"], row["optimizer"], row["track"]))
    return _table(cells, columns, rows)


def headline(cells: pd.DataFrame) -> pd.DataFrame:
    """Every learned optimizer against the best tuned baseline of its task: losses, their ratio, verdict and cost.

    The ratio is of mean final losses, learned over baseline, on the seeds that both ran, with a paired 95 % interval.
    The p-value is of a paired test on those seeds, adjusted by Holm's method for the number of rows. The cost ratios
    are of the seconds of an update, and of a whole step (gradient and update).
    """
    columns = ["task", "optimizer", "baseline", "ratio", "low", "high", "verdict", "seeds", "p_value"]
    columns += ["mean_final_loss", "baseline_mean_final_loss", "update_time_ratio", "step_time_ratio"]
    columns += ["failures", "baseline_failures"]
    columns += ["track", "baseline_track"]
    rows: list[Row] = []
    for _, task in groups(cells, "task"):
        baseline = best_baseline(task)
        for key, learned in groups(task[task["learned"].eq(True)], "task", "optimizer", "track"):
            rows.append(key | _comparison(learned, baseline))
    for row, adjusted in zip(rows, holm([row.get("p_value", np.nan) for row in rows]), strict=True):
        row["p_value"] = adjusted
    return _table(cells, columns, rows)


def time_to_target(cells: pd.DataFrame) -> pd.DataFrame:
    """Steps and seconds to the task's fixed target: the MEDIAN final loss of its best tuned baseline.

    `target_from`: `stored` with the task's version, or `this run` where it is not.
    `steps`: the step by which half of the seeds are there, infinite if fewer ever are; a loss is averaged over the
    task's final window, as the final loss is. `seconds`: those steps at the pace of the serial timing pass. The fewest
    steps of a task come first.
    """
    columns = ["task", "optimizer", "track", "learned", "target", "seeds", "failures", "reached", "steps", "seconds"]
    columns += ["target_from"]
    rows: list[Row] = []
    for _, task in groups(cells, "task"):
        aim = goal(task)
        about = {"target": aim.loss, "target_from": aim.source}
        here: list[Row] = []
        for key, seeds in groups(task, "task", "optimizer", "track"):
            steps = counted_steps(seeds, aim.loss)
            half = median(steps).estimate
            reached = {"reached": float(np.isfinite(steps).mean()), "steps": half, "seconds": half * _clock(seeds)[1]}
            here.append(key | about | {"learned": _learned(seeds)} | _counts(seeds) | reached)
        rows += sorted(here, key=lambda row: (row["steps"], -row["reached"], row["optimizer"], row["track"]))
    return _table(cells, columns, rows)


def step_seconds(timing: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Microseconds of a gradient and of an update, in the serial pass: medians with quartiles, and ratios to Adam's.

    `state_bytes` is the memory of the optimizer's state for one replica. An optimizer that could not be timed has its
    reason and no times.
    """
    halves = ["grad", "update"]
    quantiles = [f"{half}_{{}}seconds{quantile}" for half in halves for quantile in ("", "_q25", "_q75")]
    columns = ["task", "optimizer", *(name.format("micro") for name in quantiles)]
    columns += ["update_ratio_to_adam", "step_ratio_to_adam", "state_bytes", "threads", "device", "reason"]
    memory = {tuple(key.values()): rows["state_bytes"].max() for key, rows in groups(cells, "task", "optimizer")}
    rows: list[Row] = []
    for _, task in groups(timing, "task"):
        adam = _clock(task[task["optimizer"] == "adam"])
        for key, clock in groups(task, "task", "optimizer"):
            update, step = _clock(clock)
            rows.append(
                key
                | {name.format("micro"): 1e6 * seconds(clock, name.format("")) for name in quantiles}
                | {"update_ratio_to_adam": update / adam[0], "step_ratio_to_adam": step / adam[1]}
                | {"state_bytes": memory.get(tuple(key.values()), np.nan)}
                | {name: clock[name].iloc[0] for name in ("threads", "device", "reason")}
            )
    return _table(timing, columns, rows)


def failures(cells: pd.DataFrame) -> pd.DataFrame:
    """Everything that failed: how many of a cell's seeds, why, and between which steps."""
    columns = ["task", "optimizer", "track", "status", "reason", "failures", "seeds"]
    columns += ["first_failed_step", "last_failed_step"]
    seeds = {tuple(key.values()): len(rows) for key, rows in groups(cells, "task", "optimizer", "track")}
    lost = cells[cells["status"] != "ok"]
    lost = lost.assign(reason=[_reason(*pair) for pair in zip(lost["reason"], lost["failed_step"], strict=True)])
    rows: list[Row] = []
    for key, alike in groups(lost, "task", "optimizer", "track", "status", "reason"):
        steps = alike["failed_step"].astype(float)
        count = {"failures": len(alike), "seeds": seeds[tuple(key.values())[:-2]]}
        rows.append(key | count | {"first_failed_step": steps.min(), "last_failed_step": steps.max()})
    return _table(cells, columns, rows)


def tuning(tried: pd.DataFrame) -> pd.DataFrame:
    """What the track `tuned` chose for each (task, optimizer), from how many rates, at how many passes.

    `at_edge`: the best rate is the first or the last of the grid, at its limit: a better one may lie beyond.
    """
    columns = ["task", "optimizer", "lr", "mean_final_loss", "rates_tried", "seeds", "passes", "at_edge"]
    rows: list[Row] = []
    for key, rates in groups(tried, "task", "optimizer"):
        chosen = rates[rates["chosen"].eq(True)]
        rows.append(
            key
            | {"lr": chosen["lr"].max(), "mean_final_loss": counted_losses(chosen).mean()}
            | {"rates_tried": rates["lr"].nunique(), "seeds": rates["seed"].nunique()}
            | {"passes": int(rates["steps"].sum()), "at_edge": bool(rates["at_edge"].any())}
        )
    return _table(tried, columns, rows)


def _table(frame: pd.DataFrame, columns: list[str], rows: Iterable[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*(["run"] if "run" in frame else []), *columns])


def _learned(rows: pd.DataFrame) -> bool:
    return bool(rows["learned"].eq(True).any())


def _counts(rows: pd.DataFrame) -> Row:
    return {"seeds": len(rows), "failures": failed(rows)}


def _final_loss(rows: pd.DataFrame) -> Row:
    mean = bootstrap(np.mean, counted_losses(rows))
    return _counts(rows) | {
        "learned": _learned(rows),
        "lr": _learning_rate(rows["hyperparameters"].iloc[0]),
        "mean_final_loss": mean.estimate,
        "low": mean.low,
        "high": mean.high,
        "iqm_final_loss": iqm(rows),
        "heldout_loss": counted_heldout(rows, "heldout_loss", np.inf),
        "heldout_accuracy": counted_heldout(rows, "heldout_accuracy", 0.0),
    }


def _comparison(rows: pd.DataFrame, baseline: pd.DataFrame | None) -> Row:
    own = _counts(rows) | {"mean_final_loss": counted_losses(rows).mean()}
    if baseline is None:
        return own | {"verdict": "not comparable: no baseline ran"}
    common = sorted({*rows["seed"]} & {*baseline["seed"]})
    losses, baseline_losses = (counted_losses(frame.set_index("seed").loc[common]) for frame in (rows, baseline))
    ratio, verdict = compare(losses, baseline_losses)
    for name, frame in (("", rows), ("baseline ", baseline)):
        if failed(frame):
            verdict += f"; {failed(frame)} of {len(frame)} {name}seeds failed"
    (update, step), (baseline_update, baseline_step) = _clock(rows), _clock(baseline)
    return own | {
        "baseline": baseline["optimizer"].iloc[0],
        "baseline_track": baseline["track"].iloc[0],
        "baseline_failures": failed(baseline),
        "baseline_mean_final_loss": counted_losses(baseline).mean(),
        "seeds": len(common),
        "ratio": ratio.estimate,
        "low": ratio.low,
        "high": ratio.high,
        "verdict": verdict,
        "p_value": paired_test(losses, baseline_losses) if common else np.nan,
        "update_time_ratio": update / baseline_update,
        "step_time_ratio": step / baseline_step,
    }


def compare(losses: NDArray[np.float64], baseline: NDArray[np.float64]) -> tuple[Interval, str]:
    """The ratio of two means over the same seeds with its paired interval, and what it says: `better` is lower."""
    if not losses.size:
        return UNKNOWN, "not comparable: no common seeds"
    if losses.mean() < 0 or baseline.mean() <= 0:
        return UNKNOWN, "not comparable: a mean loss is not positive"
    with np.errstate(invalid="ignore"):
        ratio = ratio_of_means(losses, baseline)
    return ratio, "better" if ratio.high < 1 else "worse" if ratio.low > 1 else "no clear difference"


def _clock(rows: pd.DataFrame) -> tuple[float, float]:
    """Seconds of an update and of a whole step; missing if nothing was timed."""
    if rows.empty:
        return np.nan, np.nan
    update = seconds(rows, "update_seconds")
    return update, update + seconds(rows, "grad_seconds")


def _learning_rate(hyperparameters: str) -> float:
    try:
        return float(json.loads(hyperparameters)["lr"])
    except (ValueError, KeyError, TypeError):
        return np.nan


def _reason(reason: Any, step: float) -> str:
    """A reason without the step that it names, so that seeds that failed alike are counted together."""
    if not isinstance(reason, str):
        return "no reason recorded"
    return reason if pd.isna(step) else reason.removesuffix(f" at step {step:.0f}").rstrip(",")
