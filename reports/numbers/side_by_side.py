"""Several runs side by side: each cell against the first run that has it, or the reason why that says nothing."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.comparison import compare, outcomes
from l2obench.reports.numbers.headline import RATIO

COLUMNS = ["task", "optimizer", "track", "run", "against", "verdict"]
COLUMNS += ["typical_ratio", "typical_low", "typical_high", "ratio", "low", "high", "seeds"]
COLUMNS += ["mean_final_loss", "mean_against"]
SAME = {
    "task_version": "task version",
    "optimizer_version": "optimizer version",
    "steps": "horizon",
    "final_window": "final window",
}


def side_by_side(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every (task, optimizer, track) of every run but the first that has it, against that one, on common seeds.

    Ratios divide this run by the other; `ratio` is that of mean final losses. Cells of other versions, horizons or data
    are not comparable, and the verdict says which; so it does of cells that only one run has.

    Args:
        cells: rows of several runs; of one run, the table is empty.
        manifests: by the label of their run.
    """
    found: list[dict[str, Any]] = []
    if "run" in cells:
        alike: dict[tuple[str, str, str], list[CellRows]] = {}
        for cell in table_of_cells(cells).cells:
            alike.setdefault((cell.task, cell.optimizer, cell.track), []).append(cell)
        for key, parts in alike.items():
            place = dict(zip(COLUMNS[:3], key, strict=True))
            found += [place | _against(rows, parts[0], manifests) for rows in parts[1:]]
            if len(parts) == 1:
                found.append(place | {"run": parts[0].first("run"), "verdict": "not comparable: in no other run"})
    return pd.DataFrame(found, columns=COLUMNS)


def _against(rows: CellRows, first: CellRows, manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    runs = {"run": rows.first("run"), "against": first.first("run")}
    means = {"mean_final_loss": rows.mean_loss, "mean_against": first.mean_loss}
    if reasons := differences(rows, first, manifests):
        return runs | means | {"verdict": f"not comparable: {'; '.join(reasons)}"}
    comparison = compare(rows, first)
    found, ratio, (verdict, _) = comparison.found, comparison.ratio, outcomes([comparison])[0]
    if comparison.identical:
        verdict = "the same numbers"
    elif (rows.first("checkpoint_sha256") or "") != (first.first("checkpoint_sha256") or ""):
        verdict += ", another checkpoint"
    if found.measure == "ratio":
        means |= dict(zip(RATIO, astuple(found.typical), strict=True))
    numbers = {"ratio": ratio.estimate, "low": ratio.low, "high": ratio.high, "seeds": comparison.seeds}
    return runs | means | numbers | {"verdict": verdict}


def differences(
    rows: CellRows,
    first: CellRows,
    manifests: Mapping[str, Mapping[str, Any]],
    same: Mapping[str, str] = SAME,
) -> list[str]:
    """Say in what two runs of a task differ, so that their losses cannot be compared; nothing where they can.

    Args:
        rows: of one optimizer on a task, in one run.
        first: on this task in another run.
        manifests: by the label of their run.
        same: columns that must be equal, and what they are called.
    """
    found = []
    for column, name in same.items():
        here, there = rows.first(column), first.first(column)
        if here != there:
            found.append(f"{name} {here}, not {there}")
    here, there = (_data(manifests[cell.first("run")], rows.task) for cell in (rows, first))
    for source in sorted({*here} | {*there}):
        if here.get(source) != there.get(source):
            digests = [str(digests.get(source, "absent"))[:12] for digests in (here, there)]
            found.append(f"data {source} has SHA-256 {digests[0]}, not {digests[1]}")
    return found


def _data(manifest: Mapping[str, Any], task: str) -> dict[str, str]:
    """SHA-256 of the data of a task by source; of all of the run's data where it does not say which the task has."""
    sources = manifest.get("sources") or {}
    names = ((manifest.get("tasks") or {}).get(task) or {}).get("sources", list(sources))
    return {name: str((sources.get(name) or {}).get("sha256")) for name in names}
