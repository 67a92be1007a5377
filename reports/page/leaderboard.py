"""The leaderboard as one page that loads nothing, with its table as Markdown and CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from l2obench.reports import formats
from l2obench.reports.numbers.leaderboard import NEAR, Leaderboard, leaderboard
from l2obench.reports.numbers.pooled_runs import PooledRuns, find_runs, pool
from l2obench.reports.page.html import environment, to_html
from l2obench.reports.page.packing import pack, ranks, table_view
from l2obench.reports.page.publish import publish, require_replaceable
from l2obench.reports.sections.environment import about

NAME, CAPTION = "leaderboard", "Final training loss ÷ best baseline, median over tasks (lower is better)"
FOLDER = Path(NAME)
"""Where the page is written, unless a folder is given."""
ROWS = 50
"""Rows of a table that are shown at first; the page's script has the others."""
# The rows that a terminal shows.
FIRST = 10


@dataclass(frozen=True)
class LeaderboardPage:
    """What was written."""

    page: Path
    tables: list[Path]
    found: Leaderboard
    runs: int

    @property
    def text(self) -> str:
        """The first rows as plain text, for a terminal."""
        shown = self.found.shown().iloc[:FIRST, :5]
        return str(shown.to_string(index=False)) if len(shown) else "no task has a baseline"


def write_leaderboard(folders: Sequence[Path], target: Path) -> LeaderboardPage:
    """Write `target`/index.html with its tables.

    Args:
        folders: runs, or folders of runs. Each run is held to what those before it did.
        target: a folder that does not exist, is empty, or holds an earlier page.

    Raises:
        ReportError: a folder holds no run, a run does not fit the others, or `target` holds something else.
        StoreError: a run is damaged.
    """
    require_replaceable(target)  # here too: who gave a wrong folder need not wait for the numbers
    pooled = pool(find_runs(folders))
    found = leaderboard(pooled.cells)

    def build(folder: Path) -> None:
        tables = folder / "tables"
        tables.mkdir()
        (tables / f"{NAME}.md").write_text(formats.to_markdown(found.shown()), encoding="utf-8")
        (tables / f"{NAME}.csv").write_text(formats.to_csv(found.numbers), encoding="utf-8")
        (tables / "baselines.csv").write_text(formats.to_csv(found.baselines), encoding="utf-8")
        (folder / "index.html").write_text(_render(found, pooled), encoding="utf-8")

    publish(target, build)
    return LeaderboardPage(target / "index.html", sorted((target / "tables").iterdir()), found, len(pooled.manifests))


def _render(found: Leaderboard, pooled: PooledRuns) -> str:
    shown = found.shown().assign(learned=found.numbers["learned"].eq(True)) if len(found.numbers) else found.shown()
    runs = list_runs(pooled)
    tables = {
        NAME: (shown, CAPTION, _view(found)),
        "baselines": (found.baselines, "The best baseline of each task", None),
        "runs": (runs, "The runs", None),
    }
    parts = {
        name: to_html(frame.head(ROWS), caption, name, len(frame), ROWS) for name, (frame, caption, _) in tables.items()
    }
    packed = {
        f"table-{name}": pack(view or table_view(frame, caption)) for name, (frame, caption, view) in tables.items()
    }
    template = environment().get_template("leaderboard.html.j2")
    return template.render(
        found=found,
        near=f"{NEAR - 1:.0%}".replace("%", " %"),
        runs=len(runs),
        left_out=found.left_out,
        parts=parts,
        packed=packed,
    )


def list_runs(pooled: PooledRuns) -> pd.DataFrame:
    """List the runs of a leaderboard.

    Args:
        pooled: the runs.

    Returns:
        One row for each run: its suite, what it is for, when and where it was made.
    """
    rows = []
    for path, manifest in pooled.manifests.items():
        facts = about(manifest)
        of_run = {name: facts["facts"].get(name, "—") for name in ("suite", "started", "device", "commit")}
        rows.append({"run": Path(path).name, "what it is for": facts["description"], **of_run})
    return pd.DataFrame(rows)


def _view(found: Leaderboard) -> dict[str, Any]:
    """The table for the page's script: cells as people read them, sorted by the numbers behind them."""
    numbers, shown = found.numbers, found.shown()
    names = ["optimizer", "track", "near_best", "near_best_of_own", "tasks"]
    names += [f"{family.name} ratio" for family in found.families]
    titles = list(shown)
    return {
        "caption": CAPTION,
        "columns": [{"title": name, "numeric": at > 1, "name": name} for at, name in enumerate(titles)],
        "cells": [shown[name].astype(str).to_list() for name in titles],
        "ranks": [ranks(numbers[name]) for name in names],
        "learned": [int(flag) for flag in numbers["learned"]],
        "csv": formats.to_csv(numbers),
    }
