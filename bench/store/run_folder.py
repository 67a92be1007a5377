"""The folder of a run: one immutable file a cell, packed into one a kind at the end, and a manifest.

    RUN/manifest.json       what was asked, on which machine, with which data
    RUN/cells/*.parquet     one row for each (task, optimizer, track, hyperparameters, seed)
    RUN/tuning/*.parquet    one row for each learning rate and tuning seed that the track `tuned` tried
    RUN/trials/*.parquet    one row for each trial of a budget, on each of its tuning and evaluation seeds
    RUN/timing/*.parquet    one row for each optimizer of a task: the serial wall-clock pass
    RUN/pictures/*.parquet  snapshots of a cell's first seeds as PNG, where the task has pictures
    RUN/heldout/*.parquet   one row for each seed and held-out metric, with its values over the steps

Every file carries a description of what it holds. A file with the same description is never computed again; one with
another description under the same name is a conflict, and nothing is overwritten unless asked. `pack` puts the files of
a kind into one, KIND/all.parquet, which keeps the description of each.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from l2obench.bench.store.files import LOCK, TEMPORARY, lock_folder, write_atomically
from l2obench.bench.store.kind_folder import KindFolder
from l2obench.bench.store.manifest_schema import require_manifest
from l2obench.bench.store.results_file import StoreError, encode_file, require_format
from l2obench.bench.store.row_checks import require_single_seeds
from l2obench.bench.store.schemas import FORMAT, SCHEMAS, Kind
from l2obench.foundation.errors import describe_message
from l2obench.foundation.regular_file import read_regular_file

# Far above any manifest of ours: a file of gigabytes would fill the memory while it is parsed.
MAX_MANIFEST_BYTES = 2**28
# Our own tasks and optimizers write nothing. Version 0.1 kept what a line of progress raised as their result.
ERRORS_OF_WRITING = ("UnicodeEncodeError: ", "BrokenPipeError: ", "OSError: ")


class RunFolder:
    """A results folder, opened for reading, or, by `begin`, for writing.

    Args:
        folder: its path; nothing is read or made yet.

    Example:
        >>> run = RunFolder("results/demo")
        >>> run.begin({"suite": "demo"})
        >>> row = {"task": "quadratic", "optimizer": "adam", "lr": 0.1, "seed": 0, "final_loss": 0.5}
        >>> run.write("tuning", "quadratic--adam", {"seeds": 1}, [row])
        >>> run.is_finished("tuning", "quadratic--adam", {"seeds": 1})
        True
        >>> run.read("tuning")["final_loss"].tolist()
        [0.5]
        >>> run.manifest["suite"]
        'demo'
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._kinds = {kind: KindFolder(self.folder, kind) for kind in SCHEMAS}

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run is.

        Raises:
            StoreError: there is no manifest, it is damaged, or another version of l2obench wrote it.
        """
        path = self.folder / "manifest.json"
        try:
            manifest = json.loads(read_regular_file(path, MAX_MANIFEST_BYTES))
            written_by = manifest["format"]
            if written_by == FORMAT:
                require_manifest(manifest)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
                raise StoreError(f"{self.folder} is no run: it has no manifest.json") from error
            raise StoreError(f"{path} is damaged: {describe_message(error)}") from error
        require_format(self.folder, written_by)
        return dict(manifest)

    def exists(self) -> bool:
        """Say whether the folder holds a run."""
        return os.path.isfile(self.folder / "manifest.json")

    def begin(self, manifest: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Make the folder, or continue in one whose run has the same format, and write the manifest.

        Args:
            manifest: its content, or a function that makes it from the present one. The function is called under the
                folder's lock, so that two starts at once lose nothing of each other.

        Raises:
            StoreError: the folder holds something else, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock_folder(self.folder):
                content = {"format": FORMAT, **(manifest() if callable(manifest) else manifest)}
                write_atomically(self.folder / "manifest.json", json.dumps(content, indent=2).encode())
            # After the manifest: a folder that another process is beginning is then either empty or a run.
            for kind in SCHEMAS:
                (self.folder / kind).mkdir(exist_ok=True)
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def require_run_or_empty(self) -> None:
        """Refuse a folder that exists and is neither empty nor a run of this format.

        Raises:
            StoreError: it is not.
        """
        # A process that is beginning this run has written its lock and a temporary file, and no manifest yet.
        try:
            entries = list(self.folder.iterdir()) if os.path.isdir(self.folder) else []
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be read: {error.strerror}. Try: another --out") from error
        found = [path for path in entries if path.suffix != TEMPORARY and path.name != LOCK]
        if found or os.path.isfile(self.folder):
            _ = self.manifest

    def is_finished(self, kind: Kind, name: str, description: Mapping[str, Any]) -> bool:
        """Say whether a file is there and holds what a description says.

        Args:
            kind: of the file.
            name: of the file, as `cell_name` makes it.
            description: what it should have been written with.

        Raises:
            StoreError: it is there, and is damaged or holds other results.
        """
        if (described := self._kinds[kind].describe(name)) is None:
            return False
        path, found = described
        # Through JSON, as the one in the file went: tuples are lists there.
        if (wanted := json.loads(json.dumps(description))) != found:
            different = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            changes = ", ".join(f"{key} was {found.get(key)!r}, now {wanted.get(key)!r}" for key in different)
            raise StoreError(f"{path} holds other results ({changes}). Try: another --out, or --force to replace them")
        return True

    def describe_one(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Read the description of one file; None where there is no such file.

        Args:
            kind: of the file.
            name: of the file, as `cell_name` makes it.

        Raises:
            StoreError: it is damaged.
        """
        described = self._kinds[kind].describe(name)
        return None if described is None else dict(described[1])

    def holds_reporting_errors(self, name: str) -> bool:
        """Say whether a file of cells holds errors of writing that an earlier version kept as an optimizer's result.

        Args:
            name: of the file, as `cell_name` makes it.

        Raises:
            StoreError: it is damaged.
        """
        found = self.read_columns("cells", name, ["status", "reason"])
        rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
        return any(status == "error" and (reason or "").startswith(ERRORS_OF_WRITING) for status, reason in rows)

    def write(self, kind: Kind, name: str, description: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
        """Write a file by atomic rename.

        Args:
            kind: of the file.
            name: of the file, as `cell_name` makes it.
            description: what decides its rows.
            rows: by column; None, or no entry, where a column does not apply.

        Raises:
            StoreError: the folder cannot be written.
        """
        content = encode_file(kind, description, rows)
        try:
            # Another process may be packing: what it has read it deletes.
            with lock_folder(self.folder):
                write_atomically(self._kinds[kind].locate(name), content)
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def read(self, kind: Kind) -> pd.DataFrame:
        """Read all rows of a kind.

        Args:
            kind: of the files.

        Returns:
            The rows in the order of the files' names; without files an empty frame with the columns.

        Raises:
            StoreError: a file is damaged or has other columns.
        """
        frames = self._kinds[kind].frames()
        if not frames:
            empty: pd.DataFrame = SCHEMAS[kind].empty_table().to_pandas()
            return empty
        rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        if kind == "cells":
            try:
                require_single_seeds(rows)
            except ValueError as error:
                raise StoreError(f"{self.folder} is damaged: {error}. Try: take the copied file out") from error
        return rows

    def read_one(self, kind: Kind, name: str) -> pd.DataFrame:
        """Read the rows of one finished file.

        Args:
            kind: of the file.
            name: of the file, as `cell_name` makes it.

        Raises:
            StoreError: it is damaged or has other columns.
        """
        return self._kinds[kind].read_one(name)

    def read_columns(self, kind: Kind, name: str, columns: list[str]) -> pa.Table:
        """Read some columns of one finished file, without the checks of `read_one` on what its rows hold.

        Args:
            kind: of the file.
            name: of the file, as `cell_name` makes it.
            columns: of the kind.

        Raises:
            StoreError: it is damaged or has other columns.
        """
        return self._kinds[kind].read_columns(name, columns)

    def pack(self) -> int:
        """Put the files of each kind into one, and delete them once it is written.

        A process that is killed meanwhile leaves both, which hold the same. No number changes.

        Returns:
            The number of files that were put into others.

        Raises:
            StoreError: a file is damaged, there are more rows than one file may hold, or the folder cannot be written.
        """
        if not any(kind.has_unpacked() for kind in self._kinds.values()):
            return 0
        try:
            with lock_folder(self.folder):
                return sum(kind.pack() for kind in self._kinds.values())
        except OSError as error:
            raise self._cannot_be_written(error) from error

    def _cannot_be_written(self, error: OSError) -> StoreError:
        return StoreError(f"{self.folder} cannot be written: {error.strerror}. Try: another --out")
