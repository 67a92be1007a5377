"""The files of one kind in a run: one for each name, or all of them packed into one.

A file of a name that is packed too stands for it: it was written later.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.packed_file import PACKED, PackedFile, Part, encode_parts
from l2obench.bench.store.results_file import StoreError, read_description, read_file, read_table, to_frame
from l2obench.bench.store.schemas import Kind


class KindFolder:
    """The files of one kind.

    Args:
        run: the folder of the run.
        kind: of the files.
    """

    def __init__(self, run: Path, kind: Kind) -> None:
        self.folder, self.kind = run / kind, kind
        self._packed = PackedFile(self.locate(PACKED), kind)

    def locate(self, name: str) -> Path:
        """Give the path of a file that is not packed.

        Args:
            name: of the file, as `cell_name` makes it.
        """
        return self.folder / f"{name}.parquet"

    def describe(self, name: str) -> tuple[Path, Mapping[str, Any]] | None:
        """Give the file that holds a name, and the description of the name; None where there is none.

        Args:
            name: of the file, as `cell_name` makes it.

        Raises:
            StoreError: the file is damaged.
        """
        # `os.path.lexists`: of a path that is too long, `Path.exists` raises.
        if os.path.lexists(path := self.locate(name)):
            return path, read_description(path)
        found = self._packed.description(name)
        return None if found is None else (self._packed.path, found)

    def read_one(self, name: str) -> pd.DataFrame:
        """Read the rows of one name.

        Args:
            name: of the file, as `cell_name` makes it.

        Raises:
            StoreError: there is none, or it is damaged or has other columns.
        """
        return to_frame(*self._read_table(name), self.kind)

    def read_columns(self, name: str, columns: list[str]) -> pa.Table:
        """Read some columns of one name. What their rows hold is not checked, which takes ten times as long.

        Args:
            name: of the file, as `cell_name` makes it.
            columns: of the kind.

        Raises:
            StoreError: there is none, or it is damaged or has other columns.
        """
        return self._read_table(name, columns)[0].select(columns)

    def _read_table(self, name: str, columns: list[str] | None = None) -> tuple[pa.Table, Path]:
        """The rows of one name, with these columns at least, and the path of the file that holds them."""
        if not os.path.lexists(path := self.locate(name)) and (part := self._packed.part(name)) is not None:
            return part.table, self._packed.path
        return read_table(path, self.kind, columns), path

    def frames(self) -> list[pd.DataFrame]:
        """Read all rows, in the order of the names: one frame for each, or one where all are packed.

        Raises:
            StoreError: a file is damaged or has other columns.
        """
        frames = {}
        # Before the packed file: what another process packs meanwhile is then in one of them at least.
        for path in self._unpacked():
            try:
                frames[path.stem] = read_file(path, self.kind)
            except StoreError:
                if os.path.lexists(path):
                    raise
        parts = [part for part in self._packed.parts() if part.name not in frames]
        if parts and not frames:
            return [to_frame(pa.concat_tables([part.table for part in parts]), self._packed.path, self.kind)]
        frames |= {part.name: to_frame(part.table, self._packed.path, self.kind) for part in parts}
        return [frames[name] for name in sorted(frames)]

    def has_unpacked(self) -> bool:
        """Whether there is a file to pack."""
        return bool(self._unpacked())

    def pack(self) -> int:
        """Put all files into one, and delete them once it is written. The caller holds the lock of the run.

        Returns:
            How many files were deleted.

        Raises:
            StoreError: a file is damaged, or there are more rows than one file may hold.
            OSError: the folder cannot be written.
        """
        paths = self._unpacked()
        if not paths:
            return 0
        parts = {part.name: part for part in self._packed.parts()}
        tables = {path: read_table(path, self.kind) for path in paths}
        # What a reader refuses would spoil all other rows of the file.
        self._require_rows(tables)
        for path, table in tables.items():
            parts[path.stem] = Part(path.stem, read_description(path), table)
        write_atomically(self._packed.path, encode_parts(self.kind, list(parts.values())))
        for path in paths:
            path.unlink()
        return len(paths)

    def _require_rows(self, tables: Mapping[Path, pa.Table]) -> None:
        """Refuse rows that a reader refuses: all at once, and one file after the other only to name the file."""
        try:
            to_frame(pa.concat_tables(tables.values()), self.folder, self.kind)
        except StoreError:
            for path, table in tables.items():
                to_frame(table, path, self.kind)
            raise

    def _unpacked(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.parquet") if path.stem != PACKED)
