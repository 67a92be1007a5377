"""Figures of an earlier report that are still those of its results: they need not be drawn again."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2obench.reports.figures.drawing import Drawing, files_of
from l2obench.reports.figures.fingerprint import drawing_code, fingerprint

INDEX = "figures.json"
"""The file that says what each figure shows, and what it was drawn from."""


@dataclass(frozen=True)
class Plan:
    """What of a report's figures is kept, and what is drawn."""

    kept: tuple[Drawing, ...]
    drawn: tuple[Drawing, ...]
    keys: Mapping[str, str]
    """By the name of a drawing, the hash of all that it is made from; empty where not all of it is known."""


def plan(drawings: Sequence[Drawing], folder: Path, formats: Sequence[str]) -> Plan:
    """Find out which figures of an earlier report can stay: drawn from the same values, by the same code, unchanged.

    Args:
        drawings: those of the new report; of one name, the last.
        folder: of the earlier figures. It may be missing, or hold anything.
        formats: of the new report. Figures of others are drawn anew.
    """
    wanted = {item.name: item for item in drawings}
    keys = {name: _key(item, formats) for name, item in wanted.items()}
    earlier = _read(folder / INDEX)
    kept = [item for name, item in wanted.items() if _is_the_same(earlier.get(name), keys[name], item, folder, formats)]
    names = {item.name for item in kept}
    return Plan(tuple(kept), tuple(item for name, item in wanted.items() if name not in names), keys)


def carry_over(found: Plan, folder: Path, target: Path, formats: Sequence[str]) -> None:
    """Give a new folder the files of the figures that are kept.

    Args:
        found: as `plan` gives it.
        folder: of the earlier figures.
        target: an existing folder on the same disk.
        formats: of the figures.
    """
    for name in (name for item in found.kept for name in files_of(item, formats)):
        try:
            os.link(folder / name, target / name)
        except OSError:  # a file system without links
            shutil.copyfile(folder / name, target / name)


def write_index(found: Plan, folder: Path, formats: Sequence[str]) -> None:
    """Write what every figure of a folder shows, its files with their SHA-256, and what it was drawn from.

    Args:
        found: as `plan` gives it.
        folder: with the files of all figures.
        formats: of the figures.
    """
    index = {
        item.name: {
            "description": item.description,
            "drawn_from": found.keys[item.name],
            "files": {name: _hash(folder / name) for name in files_of(item, formats)},
        }
        for item in sorted((*found.kept, *found.drawn), key=lambda item: item.name)
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _key(item: Drawing, formats: Sequence[str]) -> str:
    try:
        return fingerprint([drawing_code(), list(formats), item.make])
    except TypeError:  # a section of a plugin may draw with code of its own
        return ""


def _read(path: Path) -> Mapping[str, Any]:
    """The index of an earlier report; empty where there is none or it is no such file, so that all is drawn."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_the_same(entry: Any, key: str, item: Drawing, folder: Path, formats: Sequence[str]) -> bool:
    files = entry.get("files") if isinstance(entry, dict) else None
    if not (key and isinstance(files, dict) and entry.get("drawn_from") == key):
        return False
    return all(_hash(folder / name) == files.get(name) for name in files_of(item, formats))


def _hash(path: Path) -> str | None:
    """The SHA-256 of a regular file; None where there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()
