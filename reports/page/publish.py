"""Puts a folder in its place whole or not at all, and never over something that is no report."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from l2obench.reports.reading import ReportError

MARKER = ".l2obench-report"


def publish(target: Path, build: Callable[[Path], None]) -> None:
    """Let `build` fill a new folder beside `target`, then swap it in. If `build` raises, nothing has changed.

    Args:
        target: the folder of the report.
        build: called with the new folder.

    Raises:
        ReportError: `target` is something else than an earlier report, or its place cannot be written.
    """
    target = target.resolve()
    require_replaceable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        new, old = workshop / "new", workshop / "old"
        new.mkdir()
        build(new)
        (new / MARKER).write_text("l2obench report replaces this folder as a whole\n", encoding="utf-8")
        require_replaceable(target)
        _swap(new, target, old)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def require_replaceable(target: Path) -> None:
    """Check that a report may be written to a place.

    Args:
        target: the folder of the report.

    Raises:
        ReportError: something else than an earlier report or an empty folder is there.
    """
    ours = os.path.isdir(target) and (os.path.isfile(target / MARKER) or not any(target.iterdir()))
    if not ours and os.path.exists(target):
        raise ReportError(f"{target} exists and is not a report of l2obench. Try: another folder with --out")


def _swap(new: Path, target: Path, old: Path) -> None:
    if os.path.exists(target):
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if os.path.exists(old):
            old.rename(target)
        raise


def _unwritable(target: Path, error: OSError) -> ReportError:
    return ReportError(
        f"the report cannot be written to {target}: {error.strerror or error}. Try: another folder with --out"
    )
