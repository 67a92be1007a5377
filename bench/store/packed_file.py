"""One Parquet file for a whole kind of a run: the rows of many files, with the description of each.

The rows of a part keep their order, and parts are sorted by their names. The metadata list the parts, so that a reader
finds one by its name and knows what it was written with.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from l2obench.bench.store.results_file import (
    DESCRIPTION_KEY,
    MAX_FILE_BYTES,
    MAX_VALUES,
    StoreError,
    encode_table,
    read_table,
)
from l2obench.bench.store.schemas import FORMAT, Kind
from l2obench.foundation.errors import describe_findings, describe_message
from l2obench.foundation.regular_file import open_regular_file

PACKED = "all"
"""The name of the file. Names of cells end with a hash, so no cell has it."""


@dataclass(frozen=True)
class Part:
    """What one file held."""

    name: str
    """Of the file, without its suffix."""
    description: Mapping[str, Any]
    table: pa.Table


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    rows: int = Field(ge=0)
    description: dict[str, Any]


@dataclass(frozen=True)
class _Place:
    entry: _Entry
    first: int
    """The number of its first row."""

    def take(self, table: pa.Table) -> Part:
        return Part(self.entry.name, self.entry.description, table.slice(self.first, self.entry.rows))


_ENTRIES = TypeAdapter(list[_Entry])


class PackedFile:
    """A packed file, read when something of it is asked for.

    Args:
        path: of the file, which need not exist; then it has no parts.
        kind: what it should hold.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path, self.kind = path, kind
        self._known: tuple[tuple[int, int], dict[str, _Place]] | None = None
        self._table: tuple[tuple[int, int], pa.Table] | None = None

    def descriptions(self) -> dict[str, dict[str, Any]]:
        """The descriptions of the parts, by their names.

        Raises:
            StoreError: the file is damaged, or lists no parts.
        """
        return {name: place.entry.description for name, place in self._places().items()}

    def description(self, name: str) -> dict[str, Any] | None:
        """The description of one part; None where there is no such part.

        Args:
            name: of the part.

        Raises:
            StoreError: the file is damaged, or lists no parts.
        """
        place = self._places().get(name)
        return None if place is None else place.entry.description

    def part(self, name: str) -> Part | None:
        """One part with its rows; None where there is no such part. Asking for each in turn reads the file once.

        Args:
            name: of the part.

        Raises:
            StoreError: the file is damaged, has other columns, or lists other rows than it has.
        """
        place = self._places().get(name)
        return None if place is None else place.take(self._rows())

    def parts(self) -> list[Part]:
        """All parts with their rows, in the order of their names.

        Raises:
            StoreError: the file is damaged, has other columns, or lists other rows than it has.
        """
        places = self._places()
        return [place.take(self._rows()) for place in places.values()]

    def _places(self) -> dict[str, "_Place"]:
        """Where each part is, by its name, kept while the file stays the same."""
        if (state := self._state()) is None:
            return {}
        if self._known is None or self._known[0] != state:
            found, first = {}, 0
            for entry in _read_entries(self.path):
                found[entry.name] = _Place(entry, first)
                first += entry.rows
            self._known = state, found
        return self._known[1]

    def _rows(self) -> pa.Table:
        state = self._state()
        assert state is not None
        if self._table is None or self._table[0] != state:
            table = read_table(self.path, self.kind)
            if sum(place.entry.rows for place in self._places().values()) != table.num_rows:
                raise StoreError(f"{self.path} is damaged: its parts must have {table.num_rows} rows together. {_TRY}")
            self._table = state, table
        return self._table[1]

    def _state(self) -> tuple[int, int] | None:
        """What changes when another file takes the place of this one; None where there is none."""
        try:
            found = self.path.stat()
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_ino


_TRY = "Try: the same run with --force"


def encode_parts(kind: Kind, parts: Sequence[Part]) -> bytes:
    """Encode parts as one file.

    Args:
        kind: of all parts.
        parts: their tables have the columns of the kind.

    Raises:
        StoreError: together they are more than readers accept of one file.
    """
    ordered = sorted(parts, key=lambda part: part.name)
    table = pa.concat_tables([part.table.replace_schema_metadata(None) for part in ordered])
    lists = [column for column in table.columns if pa.types.is_list(column.type)]
    if max([table.num_rows, *(sum(len(chunk.flatten()) for chunk in column.chunks) for column in lists)]) > MAX_VALUES:
        raise StoreError(f"{kind} must have at most {MAX_VALUES:,} values in a column to be one file, has more")
    entries = [{"name": part.name, "rows": part.table.num_rows, "description": part.description} for part in ordered]
    return encode_table(table, {"format": FORMAT, "parts": entries})


def _read_entries(path: Path) -> list[_Entry]:
    try:
        with open_regular_file(path, MAX_FILE_BYTES) as file:
            metadata = pq.read_schema(file).metadata or {}
        return _ENTRIES.validate_python(json.loads(metadata[DESCRIPTION_KEY])["parts"])
    except ValidationError as error:
        raise StoreError(f"{path} is damaged: {describe_findings(error)}. {_TRY}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {describe_message(error)}. {_TRY}") from error
