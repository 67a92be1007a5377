"""A row for each task and learned optimizer: loss, held-out data, time, trials, and what training saw of the task."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.cells.table import CellTable, learned_of, table_of_cells
from l2obench.reports.numbers.counting import manifest_of, table_of
from l2obench.reports.numbers.familiarity import familiarity, name_family, training_families

UNKNOWN = "not known"
"""The familiarity of a task to a checkpoint whose recipe nobody recorded."""
COLUMNS = ["task", "optimizer", "track", "family", "familiarity", "baseline", "baseline_track", "baselines", "tuned"]
COLUMNS += ["load_known", "verdict", "measure"]
COLUMNS += ["typical", "typical_low", "typical_high", "win_rate", "ratio", "seeds", "failures"]
COLUMNS += ["uses", "best_of_class", "class_verdict", "class_measure", "class_typical", "class_low", "class_high"]
COLUMNS += ["heldout_verdict", "heldout_measure", "heldout_typical", "heldout_low", "heldout_high"]
COLUMNS += ["accuracy_verdict", "accuracy_difference"]
COLUMNS += ["update_time_ratio", "step_time_ratio", "update_ratio_to_adam", "step_ratio_to_adam"]
COLUMNS += ["target_time_ratio", "trials", "tried"]
KEY = ["task", "optimizer", "track"]
TO_ADAM = ["update_ratio_to_adam", "step_ratio_to_adam"]


def by_task(
    cells: pd.DataFrame | CellTable,
    manifests: Mapping[str, Mapping[str, Any]],
    headline: pd.DataFrame,
    heldout: pd.DataFrame,
    time_to_target: pd.DataFrame,
    step_times: pd.DataFrame,
    timing: pd.DataFrame,
    trials_to_match: pd.DataFrame,
) -> pd.DataFrame:
    """Join the tables that compare learned optimizers with baselines, a row for each row of the headline.

    `baselines` counts the hand-designed optimizers that ran on the task, `tuned` those of them that were tuned.
    `typical` is the typical ratio, learned ÷ best baseline; where a loss is negative it is the typical difference, as
    `measure` says. `target_time_ratio` divides the seconds to the task's target loss by those of the best baseline:
    infinite where only the baseline gets there, missing where it does not or nothing was timed. `trials` is the
    expected number of trials until the best baseline matches an untuned learned optimizer, the fewest of its sources.

    Args:
        cells: rows of one run or several.
        manifests: by the label of their run.
        headline: as `l2obench.reports.numbers.headline.headline` gives it.
        heldout: as `l2obench.reports.numbers.heldout.heldout` gives it.
        time_to_target: as `l2obench.reports.numbers.time_to_target.time_to_target` gives it.
        step_times: as `l2obench.reports.numbers.step_times.step_times` gives it.
        timing: rows of the timing pass.
        trials_to_match: as `l2obench.reports.numbers.trials_to_match.trials_to_match` gives it.
    """
    table = table_of_cells(cells)
    keys = [name for name in ("run", *KEY) if name in headline]
    found = headline.assign(family=headline["task"].map(lambda task: name_family(str(task))))
    found["verdict"] = [str(verdict).partition("; ")[0] for verdict in found["verdict"]]
    difference = found["typical_difference"] if "typical_difference" in found else pd.Series(np.nan, found.index)
    is_ratio = difference.isna()
    found["measure"] = np.where(is_ratio, "ratio", "difference")
    for name, other in (("low", "difference_low"), ("high", "difference_high")):
        found[f"typical_{name}"] = found[f"typical_{name}"].where(is_ratio, found.get(other))
    found["typical"] = found["typical_ratio"].where(is_ratio, difference)
    found["class_typical"] = found["class_ratio"]
    found["familiarity"] = _familiarity(table, manifests, found)
    for metric, renamed in (("loss", LOSS), ("accuracy", ACCURACY)):
        rows = heldout.loc[heldout["metric"].eq(metric), [*keys, *renamed]].rename(columns=renamed)
        found = found.merge(rows, on=keys, how="left")
    timed = [name for name in keys if name != "track"]
    found = found.merge(step_times[[*timed, *TO_ADAM]].drop_duplicates(timed), on=timed, how="left")
    found = found.merge(_baselines(table), on=[name for name in keys if name in ("run", "task")], how="left")
    found["load_known"] = _load_known(found, timing, timed)
    found["target_time_ratio"] = _target_time(found, time_to_target, keys)
    found = found.merge(_trials(trials_to_match, found, keys), on=keys, how="left")
    return found[[*(["run"] if "run" in found else []), *COLUMNS]]


LOSS = {"verdict": "heldout_verdict", "measure": "heldout_measure", "typical": "heldout_typical"}
LOSS |= {"typical_low": "heldout_low", "typical_high": "heldout_high"}
ACCURACY = {"verdict": "accuracy_verdict", "typical": "accuracy_difference"}


def _baselines(cells: CellTable) -> pd.DataFrame:
    """Baselines that ran on each task, and how many of them were tuned."""
    rows = []
    for task in cells.tasks:
        tuned = sum(any(is_tuned(cell.track) for cell in own) for own in task.designed.values())
        # A task without a baseline has no row.
        rows += [task.key("task") | {"baselines": len(task.designed), "tuned": tuned}] if task.designed else []
    return table_of(cells, ["task", "baselines", "tuned"], rows)


def _load_known(rows: pd.DataFrame, timing: pd.DataFrame, keys: list[str]) -> list[bool]:
    """Whether somebody watched the load of the machine during the timing of an optimizer on a task."""
    watched = timing[timing["under_load"].notna()] if "under_load" in timing else timing.iloc[:0]
    known = set(watched[keys].itertuples(index=False, name=None))
    return [place in known for place in rows[keys].itertuples(index=False, name=None)]


def _familiarity(cells: CellTable, manifests: Mapping[str, Mapping[str, Any]], rows: pd.DataFrame) -> list[str]:
    """What each task is to its optimizer; not known where the recipe does not say what it was trained on."""
    families: dict[tuple[Any, ...], list[str]] = {}
    for own in learned_of(cells):
        key = own.key("optimizer")
        families[tuple(key.values())] = training_families(own, manifest_of(key, manifests))
    names = [name for name in ("run", "optimizer") if name in rows]
    found = []
    for task, place in zip(rows["task"], rows[names].itertuples(index=False, name=None), strict=True):
        trained_on = families.get(place, [])
        found.append(familiarity(str(task), trained_on) if trained_on else UNKNOWN)
    return found


def _target_time(rows: pd.DataFrame, time_to_target: pd.DataFrame, keys: list[str]) -> "pd.Series[float]":
    """Seconds to the target loss, learned ÷ best baseline."""
    seconds = time_to_target.set_index(keys)["seconds"].astype(float).to_dict()
    names = [{"optimizer": "baseline", "track": "baseline_track"}.get(name, name) for name in keys]
    own = np.array([seconds.get(key, np.nan) for key in rows[keys].itertuples(index=False, name=None)], dtype=float)
    other = np.array([seconds.get(key, np.nan) for key in rows[names].itertuples(index=False, name=None)], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(np.isfinite(other), own / other, np.nan)
    return pd.Series(ratios, rows.index)


def _trials(trials_to_match: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Trials of the best baseline of each row, of the source that takes the fewest; a tuned optimizer has none."""
    untuned = rows[~rows["track"].map(is_tuned).astype(bool)]
    where = [name for name in keys if name != "track"]
    of_best = trials_to_match.merge(untuned[[*keys, "baseline"]], on=[*where, "baseline"])
    fewest = of_best.sort_values("trials", kind="stable").drop_duplicates(keys)
    return fewest[[*keys, "trials", "tried"]]
