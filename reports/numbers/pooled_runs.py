"""Several runs as one table of cells, where each run is held to the same protocol: tasks, functions, seeds and tracks.

A run that does not fit is refused, so that everything in the table is paired.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from l2obench.bench.config.budget import is_tuned, parse_budget
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.floors import with_floors
from l2obench.reports.reading import ReportError

# First losses are rounded differently where other numbers of replicas run together, or on another processor.
TOLERANCE = 1e-3
CELL = ["task", "optimizer", "track"]
FACTS = {"task_version": "version {}", "steps": "{} steps", "final_window": "a final loss over {} steps"}
"""Columns that all rows of a task have in common, and how a message writes them."""
COLUMNS = [*CELL, *FACTS, "optimizer_version", "checkpoint_sha256", "learned", "seed", "status", "final_loss", "floor"]


@dataclass(frozen=True)
class PooledRuns:
    """Runs that keep one protocol."""

    manifests: dict[str, dict[str, Any]]
    """Manifests by the path of their run."""
    cells: pd.DataFrame
    """One row for each cell and seed, with a floor and the path of its run. Of a cell that several runs hold, the one
    with the most seeds, and of equals the first."""


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Give the runs of folders: each is a run, or holds runs.

    Args:
        folders: in the order in which runs are compared.

    Raises:
        ReportError: a folder is no run and holds none, or there is none.
    """
    found: list[Path] = []
    for folder in folders:
        below = sorted(path.parent for path in folder.glob("*/manifest.json"))
        inside = [folder] if RunFolder(folder).exists() else below
        if not inside:
            raise ReportError(f"{folder} is no run and holds none: it has no manifest.json. Try: results/reference")
        found += [path for path in inside if path not in found]
    if not found:
        raise ReportError("a results folder is required, got none. Try: l2obench leaderboard results/reference")
    return found


def pool(runs: Sequence[Path]) -> PooledRuns:
    """Read runs, and hold each to what the runs before it did.

    Args:
        runs: their folders.

    Raises:
        ReportError: a run has no finished cells, or does not fit the others; the message says what differs.
        StoreError: a folder is no run, or is damaged.
    """
    manifests, frames, protocol = {}, [], _Protocol()
    for path in runs:
        run = RunFolder(path)
        manifests[str(path)] = run.manifest
        cells = run.read("cells")
        if cells.empty:
            raise ReportError(f"{path} has no finished cells. Try: start the same l2obench run again")
        _require_origin(path, cells, run)
        if difference := protocol.find_difference(str(path), cells):
            raise ReportError(f"{path} does not fit the other runs: {difference}. Try: without this run")
        frames.append(with_floors(cells)[COLUMNS].assign(run=str(path)))
    return PooledRuns(manifests, _choose(pd.concat(frames, ignore_index=True)))


def _require_origin(path: Path, cells: pd.DataFrame, run: RunFolder) -> None:
    """Refuse cells with missing seeds, and tuned ones without a record of their tuning."""
    records = {
        kind: set(frame[["task", "optimizer"]].itertuples(index=False, name=None))
        for kind in ("tuning", "trials")
        for frame in [run.read(kind)]
    }
    for key, rows in cells.groupby(CELL, sort=False):
        task, optimizer, track = map(str, key)
        about = f"{path}: {task} {optimizer} {track}"
        if sorted(rows["seed"]) != list(range(len(rows))):
            raise ReportError(f"{about} must have the seeds 0 to {len(rows) - 1}, got others. Try: the whole run")
        kind = "trials" if parse_budget(track) is not None else "tuning"
        if is_tuned(track) and (task, optimizer) not in records[kind]:
            raise ReportError(f"{about} has no record of its tuning in {kind}/. Try: the whole run")


class _Protocol:
    """What the runs so far have done, by task, seed and optimizer."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], tuple[Any, str]] = {}
        self._functions: dict[tuple[str, int], tuple[str | None, float, str]] = {}
        self._optimizers: dict[str, tuple[Any, Any, str]] = {}

    def find_difference(self, run: str, cells: pd.DataFrame) -> str | None:
        """Compare a run with those before it, and remember it. What differs, in words; None: nothing."""
        columns = [*CELL, *FACTS, "seed", "optimizer_version", "checkpoint_sha256", "function_sha256", "loss"]
        for row in cells[columns].to_dict("records"):
            difference = self._differing_fact(run, row) or self._differing_model(run, row)
            if difference := difference or self._differing_function(run, row):
                return difference
        return None

    def _differing_fact(self, run: str, row: Mapping[Any, Any]) -> str | None:
        for column, words in FACTS.items():
            known, where = self._facts.setdefault((row["task"], column), (row[column], run))
            if row[column] != known:
                return f"{row['task']} has {words.format(row[column])}, and {words.format(known)} in {where}"
        return None

    def _differing_model(self, run: str, row: Mapping[Any, Any]) -> str | None:
        checkpoint = row["checkpoint_sha256"] if isinstance(row["checkpoint_sha256"], str) else None
        optimizer, version = row["optimizer"], row["optimizer_version"]
        known, sha256, where = self._optimizers.setdefault(optimizer, (version, checkpoint, run))
        if version != known:
            return f"{optimizer} has version {version}, and version {known} in {where}"
        if checkpoint != sha256:
            return f"{optimizer} has another checkpoint than in {where}"
        return None

    def _differing_function(self, run: str, row: Mapping[Any, Any]) -> str | None:
        digest = row["function_sha256"] if isinstance(row["function_sha256"], str) else None
        losses = row["loss"]
        # A failed cell may have no losses.
        first = float(losses[0]) if losses is not None and not isinstance(losses, float) and len(losses) else math.nan
        key = (row["task"], int(row["seed"]))
        known, loss, where = self._functions.get(key, (digest, first, run))
        about = f"{row['task']}: of seed {row['seed']}, {row['optimizer']}"
        if digest is not None and known is not None and digest != known:
            return f"{about} got another function or other minibatches than in {where}"
        # Results of earlier versions have no hash, but the same first loss.
        if math.isfinite(first) and math.isfinite(loss) and abs(first - loss) > TOLERANCE * (1 + abs(loss)):
            return f"{about} begins with the loss {first:g}, and with {loss:g} in {where}"
        self._functions[key] = (known or digest, loss if math.isfinite(loss) else first, where)
        return None


def _choose(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each cell the run with the most seeds, and of equals the first."""
    sizes = rows.groupby([*CELL, "run"], sort=False, as_index=False).size()
    largest = sizes.sort_values("size", ascending=False, kind="stable").drop_duplicates(CELL)
    chosen = largest[[*CELL, "run"]]
    return rows.merge(chosen, on=[*CELL, "run"], how="inner")
