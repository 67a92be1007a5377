"""Reads one side of a comparison: a run, a folder of several, or single Parquet files, as cells ready to be paired."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.optimizer_facts import recorded_class
from l2obench.bench.gate.clocks import Clock, clocks
from l2obench.bench.gate.differences import Facts, contradictions, facts
from l2obench.bench.store.results_file import StoreError, read_file
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import CELL_KEY, SCHEMAS

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Recorded:
    """One cell of a run: a task under an optimizer in a track."""

    key: Key
    """Task, optimizer and track."""
    suite: str | None
    """The suite of its run; none for a file that stands by itself."""
    task_version: int
    rows: pd.DataFrame
    """`status`, `reason` and `final_loss`, one row a seed, indexed by `seed`."""
    sources: Mapping[str, str]
    """SHA-256 of the run's data sources, by their names."""
    clock: Clock
    facts: Facts = field(default_factory=dict)
    """What it was made with."""
    contradictions: int = 0
    """Seeds whose final loss is not the mean of their last losses."""
    uses: str | None = None
    """What the optimizer looks at; none: nobody knows."""
    learned: bool = False
    floor: float | None = None
    """That of the task, as the rows record it; none: they do not, or it is no finite number of 0 or more."""


def read_side(path: Path) -> list[Recorded]:
    """Read all cells under a path.

    Args:
        path: a run, a folder of runs, or a Parquet file of results.

    Returns:
        The cells, runs in the order of their names.

    Raises:
        StoreError: there is no run and no results file, or one is damaged, foreign or of another format.
    """
    if os.path.isfile(path):
        return _read_single(path)
    if not os.path.exists(path):
        raise StoreError(f"{path} does not exist; expected a run, a folder of runs or a Parquet file of results")
    if not os.path.isdir(path):
        return _read_single(path)  # which says what it is instead
    if RunFolder(path).exists():
        return _read_run(path)
    try:
        runs = sorted(child for child in path.iterdir() if os.path.isdir(child) and RunFolder(child).exists())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if not runs:
        _ = RunFolder(path).manifest  # says that it is no run
    return [cell for run in runs for cell in _read_run(run)]


def _read_run(folder: Path) -> list[Recorded]:
    run = RunFolder(folder)
    manifest = run.manifest
    return _cells(run.read("cells"), manifest, str(folder), run.read("timing"))


def _read_single(path: Path) -> list[Recorded]:
    """One file; where it lies in a run, what the run's manifest and timing say still holds."""
    frame, run = read_file(path, "cells"), RunFolder(path.resolve().parent.parent)
    if path.resolve().parent.name == "cells" and run.exists():
        return _cells(frame, run.manifest, str(run.folder), run.read("timing"))
    return _cells(frame, {}, str(path), SCHEMAS["timing"].empty_table().to_pandas())


def _cells(frame: pd.DataFrame, manifest: Mapping[str, Any], origin: str, timing: pd.DataFrame) -> list[Recorded]:
    columns = [*CELL_KEY, "task_version", "seed", "status"]
    if bool(frame[columns].isna().to_numpy().any()):
        raise StoreError(f"{origin} is damaged: rows lack one of {', '.join(columns)}")
    suite, timed = manifest.get("suite"), clocks(timing, origin, manifest)
    cells = []
    for key, rows in frame.groupby(CELL_KEY, sort=False):
        if rows["seed"].duplicated().any() or rows["task_version"].nunique() != 1:
            raise StoreError(f"{origin} is damaged: {' '.join(map(str, key))} holds a seed twice, or two versions")
        cells.append(
            Recorded(
                key=(str(key[0]), str(key[1]), str(key[2])),
                suite=suite if isinstance(suite, str) else None,
                task_version=int(rows["task_version"].iloc[0]),
                rows=rows.set_index("seed")[["status", "reason", "final_loss"]].astype({"status": object}).sort_index(),
                sources=_sources(manifest, origin),
                clock=timed.get(str(key[0]), Clock(origin, {})),
                facts=facts(rows, manifest),
                contradictions=contradictions(rows),
                uses=recorded_class(str(key[1]), manifest),
                learned=bool(rows["learned"].eq(True).any()) if "learned" in rows else False,
                floor=_floor(rows),
            )
        )
    return cells


def _floor(rows: pd.DataFrame) -> float | None:
    recorded = rows["floor"].dropna().astype(float) if "floor" in rows else pd.Series(dtype=float)
    usable = recorded[np.isfinite(recorded) & (recorded >= 0)]
    return None if usable.empty else float(usable.max())


def _sources(manifest: Mapping[str, Any], origin: str) -> dict[str, str]:
    try:
        return {str(name): str(source["sha256"]) for name, source in (manifest.get("sources") or {}).items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise StoreError(f"{origin}/manifest.json is damaged: its sources lack a sha256") from error


def paired(base: Sequence[Recorded], head: Sequence[Recorded]) -> list[tuple[Recorded | None, Recorded | None]]:
    """Cells of the same task, optimizer and track side by side; one side is none where only the other has the cell.

    A folder of runs may hold a cell in several suites: it is compared with the one of its own suite, or else with the
    first. Of BASE's cells that HEAD lacks, those count which HEAD should have: of suites that HEAD ran, or of all
    where BASE is one run, or no suite is common.

    Args:
        base: BASE's cells.
        head: HEAD's cells.

    Returns:
        (BASE, HEAD): first a pair for each cell of HEAD, then the cells that only BASE has.
    """
    pairs: list[tuple[Recorded | None, Recorded | None]] = []
    for cell in head:
        same = [other for other in base if other.key == cell.key]
        pairs.append((next((other for other in same if other.suite == cell.suite), next(iter(same), None)), cell))
    covered = {cell.key for cell in head}
    suites = {cell.suite for cell in head} & {cell.suite for cell in base}
    for cell in base:
        if cell.key not in covered and (not suites or cell.suite in suites):
            covered.add(cell.key)
            pairs.append((cell, None))
    return pairs
