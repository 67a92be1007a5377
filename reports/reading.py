"""Reads one run or several for a report: their rows side by side, in the order in which the suites name them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import CELL_KEY, SCHEMAS, STEP_TIMES, Kind
from l2obench.reports.classes import with_classes
from l2obench.reports.floors import with_floors

UNDER_LOAD = "taken under load: not quoted"


class ReportError(ValueError):
    """A report that cannot be made, or would replace something that is not a report."""

    exit_code = 2


@dataclass(frozen=True)
class ReportData:
    """What a report is made from. Where there are several runs, every frame has a column `run` with a run's label."""

    manifests: dict[str, dict[str, Any]]
    """Manifests by the label of their run: its folder's name, numbered where two are alike."""
    cells: pd.DataFrame
    """With a floor in every row, and where it comes from (`l2obench.reports.floors`)."""
    tuning: pd.DataFrame
    timing: pd.DataFrame
    unfinished: pd.DataFrame
    """Cells that a manifest plans and its run does not hold yet: task, optimizer, track, seeds."""
    pictures: pd.DataFrame
    """Snapshots of tasks whose parameters are a picture; empty where there is none."""
    heldout: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Held-out metrics over the steps; empty for results of earlier versions."""
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Trials of the tracks with a budget; empty where there is none."""


def read_results(folders: Sequence[str | Path]) -> ReportData:
    """Everything in the runs.

    Args:
        folders: of runs, in the order in which the report shows them.

    Raises:
        ReportError: a run has no finished cells, or no folder was given.
        StoreError: a folder is no run, or is damaged.
    """
    if not folders:
        raise ReportError("a results folder is required, got none. Try: l2obench report results/quick")
    runs = {label: RunFolder(folder) for label, folder in _labelled(folders).items()}
    manifests = {label: run.manifest for label, run in runs.items()}
    frames: dict[Kind, list[pd.DataFrame]] = {kind: [] for kind in SCHEMAS}
    unfinished = []
    for label, run in runs.items():
        here = {kind: run.read(kind) for kind in frames}
        if here["cells"].empty:
            raise ReportError(
                f"{run.folder} has no finished cells. Try: start the same l2obench run again, then report"
            )
        plan = _plan(manifests[label])
        here = {kind: _in_order(frame, plan) for kind, frame in here.items()}
        here["timing"] = quotable(here["timing"])
        here["cells"] = with_floors(with_timing(here["cells"], here["timing"]))
        here["cells"] = with_classes(here["cells"], manifests[label])
        for kind, frame in here.items():
            frames[kind].append(_marked(frame, label, len(runs)))
        unfinished.append(_marked(_missing(plan, here["cells"]), label, len(runs)))
    joined = {kind: pd.concat(parts, ignore_index=True) for kind, parts in frames.items()}
    return ReportData(
        manifests,
        joined["cells"],
        joined["tuning"],
        joined["timing"],
        pd.concat(unfinished),
        joined["pictures"],
        joined["heldout"],
        joined["trials"],
    )


def quotable(timing: pd.DataFrame) -> pd.DataFrame:
    """A timing pass without the seconds that were taken under load; `reason` says so in their place.

    Args:
        timing: rows of the kind `timing`.
    """
    loaded = timing["under_load"].eq(True)
    names = [f"{half}{quantile}" for half in STEP_TIMES for quantile in ("", "_q25", "_q75")]
    kept = {name: timing[name].astype(float).mask(loaded) for name in names}
    return timing.assign(**kept, reason=timing["reason"].mask(loaded & timing["reason"].isna(), UNDER_LOAD))


def with_timing(cells: pd.DataFrame, timing: pd.DataFrame) -> pd.DataFrame:
    """Cells with the seconds of the timing pass where it has them.

    A cell keeps the seconds of the pass that was current when it was computed. A suite that grows is timed anew, all
    optimizers together: only seconds of one pass can be compared. So a pass that was taken under load leaves none.

    Args:
        cells: rows of the kind `cells`, of one run.
        timing: rows of the kind `timing`, of the same run, without seconds that must not be quoted.
    """
    loaded = timing["under_load"].eq(True)
    measured = timing[timing[STEP_TIMES].notna().all(axis=1) | loaded].drop_duplicates(
        ["task", "optimizer"], keep="last"
    )
    found = cells[["task", "optimizer"]].merge(measured, on=["task", "optimizer"], how="left")
    found.index = cells.index
    kept = cells[STEP_TIMES].astype(float).mask(found["under_load"].eq(True))
    return cells.assign(**{column: found[column].astype(float).fillna(kept[column]) for column in STEP_TIMES})


def _labelled(folders: Sequence[str | Path]) -> dict[str, Path]:
    labels: dict[str, Path] = {}
    for folder in map(Path, folders):
        name, number = folder.resolve().name or str(folder), 1
        label = name
        while label in labels:
            number += 1
            label = f"{name} ({number})"
        labels[label] = folder
    return labels


def _plan(manifest: dict[str, Any]) -> pd.DataFrame:
    planned = [{name: cell.get(name) for name in [*CELL_KEY, "seeds"]} for cell in manifest.get("cells") or []]
    return pd.DataFrame(planned, columns=[*CELL_KEY, "seeds"])


def _in_order(frame: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The rows as the plan orders tasks, then optimizers; what it does not name comes last, as it was."""
    ranks = {}
    for column in ("task", "optimizer"):
        rank = {name: position for position, name in enumerate(dict.fromkeys(plan[column]))}
        ranks[column] = frame[column].map(lambda name, rank=rank: rank.get(name, len(rank))).astype(int)
    return frame.loc[pd.DataFrame(ranks).sort_values(["task", "optimizer"], kind="stable").index]


def _marked(frame: pd.DataFrame, label: str, runs: int) -> pd.DataFrame:
    return frame.assign(run=label) if runs > 1 else frame


def _missing(plan: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    finished = set(cells[CELL_KEY].itertuples(index=False, name=None))
    missing = [key not in finished for key in plan[CELL_KEY].itertuples(index=False, name=None)]
    return plan[missing]
