"""One Parquet file of results: written with a description of what it holds, and read only where it is sound.

The files may come from anyone. So their claimed size is checked before they are unfolded, and their columns before
their rows are used.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from l2obench.bench.store.row_checks import require_rows
from l2obench.bench.store.schemas import ADDED, FORMAT, SCHEMAS, Kind
from l2obench.foundation.errors import describe_message
from l2obench.foundation.regular_file import open_regular_file

# A few bytes of Parquet can stand for any number of equal values. So many values of a column of losses take a gigabyte.
MAX_VALUES = 2**28
# 4 GiB; so many values take no more, even where nothing could be compressed.
MAX_FILE_BYTES = 2**32
MAX_ROW_GROUPS = 1000
# A value takes eight bytes at most; text is short.
MAX_UNFOLDED_BYTES = 8 * MAX_VALUES
DESCRIPTION_KEY = b"l2obench"


class StoreError(ValueError):
    """A results folder that is no run, is damaged, or holds something other than what is being written."""

    exit_code = 2


def encode_file(kind: Kind, description: Mapping[str, Any], rows: list[dict[str, Any]]) -> bytes:
    """Encode rows as a Parquet file.

    Args:
        kind: which schema the rows follow.
        description: what decides the rows; anything that JSON can hold.
        rows: by column; None, or no entry, where a column does not apply.
    """
    return encode_table(pa.Table.from_pylist(rows, schema=SCHEMAS[kind]), description)


def encode_table(table: pa.Table, description: Mapping[str, Any]) -> bytes:
    """Encode a table as a Parquet file.

    Args:
        table: with the columns of a kind.
        description: what decides the rows; anything that JSON can hold.
    """
    table = table.replace_schema_metadata({DESCRIPTION_KEY: json.dumps(description, sort_keys=True).encode()})
    sink = pa.BufferOutputStream()
    # Losses hardly repeat, so dictionaries cost time and room. Bytes of one place in a number do repeat, side by side.
    split = {
        f"{field.name}.list.element": "BYTE_STREAM_SPLIT"
        for field in table.schema
        if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type)
    }
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding=split)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def read_file(path: Path, kind: Kind) -> pd.DataFrame:
    """Read the rows of one Parquet file, inside a run or by itself.

    Args:
        path: the file.
        kind: what it should hold.

    Returns:
        One row for each row of the file, with the columns of `SCHEMAS[kind]`.

    Raises:
        StoreError: it cannot be read, has other columns, or another version of l2obench wrote it.
    """
    return to_frame(read_table(path, kind), path, kind)


def to_frame(table: pa.Table, path: Path, kind: Kind) -> pd.DataFrame:
    """Make a frame of a table, if its rows are such as the runner writes.

    Args:
        table: from `read_table`.
        path: of its file, for the error.
        kind: of the file.

    Raises:
        StoreError: they are not.
    """
    frame: pd.DataFrame = table.to_pandas()
    try:
        require_rows(frame, kind)
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}. Try: the same run with --force") from error
    return frame


def read_table(path: Path, kind: Kind, columns: list[str] | None = None) -> pa.Table:
    """Read the columns of one Parquet file. What its rows hold is not asked here.

    Args:
        path: the file.
        kind: what it should hold.
        columns: of the kind; the others are neither read nor looked at. None: all.

    Returns:
        A row for each row of the file, with these columns of `SCHEMAS[kind]`.

    Raises:
        StoreError: it cannot be read, has other columns, or another version of l2obench wrote it.
    """
    try:
        with open_regular_file(path, MAX_FILE_BYTES) as file:
            there = _modest_columns(file)
            # An earlier version may have written fewer columns; those that it must have are asked for below.
            present = None if columns is None else [name for name in columns if name in there]
            # Without `partitioning=None`, folders named like `a=b` on the way to the file would become columns.
            table = pq.read_table(file, columns=present, partitioning=None)
        # Text that is not UTF-8 would fail where it is read.
        table.validate(full=True)
        metadata = table.schema.metadata or {}
        written_by = json.loads(metadata.get(DESCRIPTION_KEY, b"{}")).get("format", FORMAT)
    except (OSError, ValueError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {describe_message(error)}") from error
    require_format(path, written_by)
    wanted = SCHEMAS[kind] if columns is None else pa.schema([SCHEMAS[kind].field(name) for name in columns])
    for position, field in enumerate(wanted):
        if field.name in ADDED and field.name not in table.column_names:
            # At its own place: the columns before it are there, or were added.
            table = table.add_column(min(position, table.num_columns), field, pa.nulls(len(table), field.type))
    if not table.schema.remove_metadata().equals(wanted):
        raise StoreError(f"{path} must have the columns of a results file of kind {kind}, and has others")
    return table.replace_schema_metadata(None)


def read_description(path: Path) -> dict[str, Any]:
    """Read the description that a file was written with.

    Args:
        path: of the file.

    Raises:
        StoreError: the file is damaged, or has none.
    """
    try:
        with open_regular_file(path, MAX_FILE_BYTES) as file:
            metadata = pq.read_schema(file).metadata or {}
        found = json.loads(metadata[DESCRIPTION_KEY])
    except (OSError, ValueError, KeyError, RecursionError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} is damaged: {describe_message(error)}. Try: delete it, or --force to replace it"
        ) from error
    return dict(found)


def require_format(path: Path, written_by: object) -> None:
    """Refuse what another version wrote.

    Args:
        path: for the error.
        written_by: the format that was found.

    Raises:
        StoreError: it did.
    """
    if written_by != FORMAT:
        raise StoreError(
            f"{path} must be of format {FORMAT}, got results of format {written_by}. Try: the version that wrote it"
        )


def cell_name(*identities: str) -> str:
    """Make a file name: readable, safe on every file system, and unique by a hash of the identities.

    Args:
        identities: those of the task and the optimizer, and the track.

    Example:
        >>> cell_name("quadratic", "adam[lr=0.1]", "default")
        'quadratic--adam-lr-0.1--default--72d24142f633'
    """
    digest = hashlib.sha256("\n".join(identities).encode()).hexdigest()[:12]
    # Three parts of 48 characters and the digest stay below the 255 bytes that file systems allow.
    # Readers of Parquet skip names that begin with a dot or an underscore, as `./mine.py:MyTask` would.
    words = [re.sub(r"[^A-Za-z0-9._-]+", "-", identity).strip("-").lstrip("._-") for identity in identities]
    readable = "--".join(word[:48] for word in words)
    return f"{readable}--{digest}"


def _modest_columns(file: BinaryIO) -> list[str]:
    """The columns of a file, which is refused where it would unfold to more than any cell."""
    reader = pq.ParquetFile(file)
    footer = reader.metadata
    if footer.num_row_groups > MAX_ROW_GROUPS:
        raise ValueError(f"it claims {footer.num_row_groups:,} groups of rows, more than {MAX_ROW_GROUPS:,}")
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    if (claimed := sum(group.total_byte_size for group in groups)) > MAX_UNFOLDED_BYTES:
        raise ValueError(f"it claims {claimed:,} bytes, more than {MAX_UNFOLDED_BYTES:,}")
    # Where the description of a column is damaged, pyarrow ends the process when asked for it. Its reader raises an
    # error for the same damage, so one row of every group is read first.
    for group in range(footer.num_row_groups):
        next(reader.iter_batches(batch_size=1, row_groups=[group], use_threads=False), None)
    values = sum(group.column(column).num_values for group in groups for column in range(footer.num_columns))
    if max(values, footer.num_rows) > MAX_VALUES:
        raise ValueError(f"it claims {max(values, footer.num_rows):,} values, more than {MAX_VALUES:,}")
    names: list[str] = reader.schema_arrow.names
    return names
