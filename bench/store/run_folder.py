"""Results on disk: one immutable Parquet file a cell, written by atomic rename; a manifest says what the run was.

    RUN/manifest.json       what was asked, on which machine, with which data
    RUN/cells/*.parquet     one row for each (task, optimizer, track, hyperparameters, seed)
    RUN/tuning/*.parquet    one row for each learning rate and tuning seed that the track `tuned` tried
    RUN/timing/*.parquet    one row for each optimizer of a task: the serial wall-clock pass
    RUN/pictures/*.parquet  snapshots of a cell's first seeds as PNG, where the task has pictures

Every file carries a description of what it holds. A file with the same description is never computed again; one with
another description under the same name is a conflict, and nothing is overwritten unless asked.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from l2obench.bench.store.files import LOCK, lock_folder, write_atomically
from l2obench.bench.store.manifest_schema import check_shape
from l2obench.foundation.errors import describe_message

FORMAT = 1
MAX_MANIFEST_BYTES = 2**28
MAX_VALUES = 2**28  # in one file: of a column of losses, a gigabyte
DESCRIPTION_KEY = b"l2obench"
CELL_KEY = ["task", "optimizer", "track"]
"""Columns that together name a cell, in the order of its identity."""
Kind = Literal["cells", "tuning", "timing", "pictures"]
UNEXPECTED = ("error", "timeout")
"""Statuses of rows without a result; the others are `ok` and `diverged`."""

_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()
SCHEMAS: dict[Kind, pa.Schema] = {
    "cells": pa.schema(
        {
            "task": _TEXT,
            "task_version": _INT,
            "optimizer": _TEXT,
            "optimizer_version": _INT,
            "checkpoint_sha256": _TEXT,
            "learned": pa.bool_(),
            "track": _TEXT,
            "hyperparameters": _TEXT,
            "seed": _INT,
            "status": _TEXT,
            "reason": _TEXT,
            "failed_step": _INT,
            "steps": _INT,
            "final_window": _INT,
            "loss": pa.list_(pa.float32()),
            "final_loss": _FLOAT,
            "heldout_loss": _FLOAT,
            "heldout_accuracy": _FLOAT,
            "grad_seconds": _FLOAT,
            "update_seconds": _FLOAT,
            "forward_passes": _INT,
            "backward_passes": _INT,
            "tuning_passes": _INT,
            "state_bytes": _INT,
        }
    ),
    "tuning": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "lr": _FLOAT,
            "seed": _INT,
            "status": _TEXT,
            "failed_step": _INT,
            "steps": _INT,
            "final_loss": _FLOAT,
            "chosen": pa.bool_(),
            "at_edge": pa.bool_(),
        }
    ),
    "timing": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "grad_seconds": _FLOAT,
            "grad_seconds_q25": _FLOAT,
            "grad_seconds_q75": _FLOAT,
            "update_seconds": _FLOAT,
            "update_seconds_q25": _FLOAT,
            "update_seconds_q75": _FLOAT,
            "timed_steps": _INT,
            "threads": _INT,
            "device": _TEXT,
            "reason": _TEXT,
            "update_flops": _FLOAT,
            "update_bytes": _FLOAT,
            "record_passes": _FLOAT,
        }
    ),
    "pictures": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "track": _TEXT,
            "seed": _INT,
            "what": _TEXT,
            "step": _INT,
            "png": pa.binary(),
        }
    ),
}
ADDED = ("update_flops", "update_bytes", "record_passes")
"""Columns that files of this format may lack, being older: what they would say is missing."""


class StoreError(ValueError):
    """A results folder that is no run, is damaged, or holds something other than what is being written."""

    exit_code = 2


class RunFolder:
    """A results folder, opened for reading, or, by `begin`, for writing."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run is.

        Raises:
            StoreError: there is no manifest, it is damaged, or another version of l2obench wrote it.
        """
        path = self.folder / "manifest.json"
        try:
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                raise ValueError(f"it has {path.stat().st_size:,} bytes, more than {MAX_MANIFEST_BYTES:,}")
            manifest = json.loads(path.read_text(encoding="utf-8"))
            written_by = manifest["format"]
            if written_by == FORMAT:
                check_shape(manifest)
        except FileNotFoundError as error:
            raise StoreError(f"{self.folder} is no run: it has no manifest.json") from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(f"{path} is damaged: {describe_message(error)}") from error
        if written_by != FORMAT:
            raise StoreError(f"{self.folder} holds results of format {written_by}; this version reads format {FORMAT}")
        return dict(manifest)

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return (self.folder / "manifest.json").is_file()

    def begin(self, manifest: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Make the folder, or go on in one whose run has the same format; write the manifest.

        Args:
            manifest: what it says, or what makes it from the one that is there while no other process can change that.

        Raises:
            StoreError: the folder holds something else, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock_folder(self.folder):
                content = {"format": FORMAT, **(manifest() if callable(manifest) else manifest)}
                write_atomically(self.folder / "manifest.json", json.dumps(content, indent=2).encode())
            for kind in SCHEMAS:  # after the manifest: a folder that another process is beginning is empty, or a run
                (self.folder / kind).mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}; choose another --out") from error

    def check(self) -> None:
        """Refuse a folder that exists and is neither empty nor a run of this format.

        Raises:
            StoreError: it is not.
        """
        # A process that is beginning this run has written its lock and a temporary file, and no manifest yet.
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        found = [path for path in entries if path.suffix != ".part" and path.name != LOCK]
        if found or self.folder.is_file():
            _ = self.manifest

    def finished(self, kind: Kind, name: str, description: Mapping[str, Any]) -> bool:
        """Whether the file `name` is there and is what `description` says.

        Raises:
            StoreError: it is there, and is damaged or something else.
        """
        path = self._path(kind, name)
        if not path.exists():
            return False
        found = _description(path)
        if (wanted := json.loads(json.dumps(description))) != found:
            different = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            changes = ", ".join(f"{key} was {found.get(key)!r}, now {wanted.get(key)!r}" for key in different)
            raise StoreError(
                f"{path} holds other results ({changes}); choose another --out, or --force to replace them"
            )
        return True

    def write(self, kind: Kind, name: str, description: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
        """Write a file by atomic rename. Rows lack no column of the schema; None stands for what does not apply.

        Raises:
            StoreError: the folder cannot be written.
        """
        schema = SCHEMAS[kind]
        table = pa.Table.from_pylist(rows, schema=schema)
        table = table.replace_schema_metadata({DESCRIPTION_KEY: json.dumps(description, sort_keys=True).encode()})
        sink = pa.BufferOutputStream()
        # Losses hardly repeat, so dictionaries cost time and room; bytes of one place in a number do, side by side.
        split = {f"{field.name}.list.element": "BYTE_STREAM_SPLIT" for field in schema if pa.types.is_list(field.type)}
        pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding=split)
        try:
            write_atomically(self._path(kind, name), sink.getvalue().to_pybytes())
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from error

    def read(self, kind: Kind) -> pd.DataFrame:
        """All rows of a kind, in the order of the files' names; an empty frame with the columns where there are none.

        Raises:
            StoreError: a file is damaged or has other columns.
        """
        paths = sorted((self.folder / kind).glob("*.parquet"))
        frames = [read_file(path, kind) for path in paths]
        return pd.concat(frames, ignore_index=True) if frames else SCHEMAS[kind].empty_table().to_pandas()

    def read_one(self, kind: Kind, name: str) -> pd.DataFrame:
        """The rows of one finished file."""
        return read_file(self._path(kind, name), kind)

    def _path(self, kind: Kind, name: str) -> Path:
        return self.folder / kind / f"{name}.parquet"


def read_file(path: Path, kind: Kind) -> pd.DataFrame:
    """The rows of one Parquet file, inside a run or by itself.

    Raises:
        StoreError: it cannot be read, has other columns, or another version of l2obench wrote it.
    """
    try:
        _require_modest(path)
        table = pq.read_table(path, partitioning=None)
        metadata = table.schema.metadata or {}
        written_by = json.loads(metadata.get(DESCRIPTION_KEY, b"{}")).get("format", FORMAT)
    except (OSError, ValueError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {describe_message(error)}") from error
    if written_by != FORMAT:
        raise StoreError(f"{path} holds results of format {written_by}; this version reads format {FORMAT}")
    for field in SCHEMAS[kind]:
        if field.name in ADDED and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    if not table.schema.remove_metadata().equals(SCHEMAS[kind]):
        raise StoreError(f"{path} does not have the columns of a results file")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def cell_name(*identities: str) -> str:
    """A file name: readable, safe on every file system, unique by a hash of the identities."""
    digest = hashlib.sha256("\n".join(identities).encode()).hexdigest()[:12]
    readable = "--".join(re.sub(r"[^A-Za-z0-9._-]+", "-", identity).strip("-")[:48] for identity in identities)
    return f"{readable}--{digest}"


def _description(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(path).metadata or {}
        found = json.loads(metadata[DESCRIPTION_KEY])
    except (OSError, ValueError, KeyError, RecursionError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} is damaged: {describe_message(error)}; delete it, or --force to replace it"
        ) from error
    return dict(found)


def _require_modest(path: Path) -> None:
    """Refuse a file that would unfold to more than any cell: a few bytes can stand for any number of equal values."""
    footer = pq.read_metadata(path)
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    values = sum(group.column(column).num_values for group in groups for column in range(footer.num_columns))
    if max(values, footer.num_rows) > MAX_VALUES:
        raise ValueError(f"it claims {max(values, footer.num_rows):,} values, more than {MAX_VALUES:,}")
