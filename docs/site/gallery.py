"""The gallery: the reports of the reference results as pages of the site, with a table of what each one asks.

A report takes up to a minute, so the site's own test builds one. `make docs` builds all.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from l2obench.reports.formats import to_markdown
from l2obench.reports.page.build import write_report
from l2obench.reports.page.leaderboard import write_leaderboard

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
FOLDER, LEADERBOARD = "gallery", "leaderboard"
ALL = "all"
PROCESSES = 2
HEAD = """# Gallery

After this page you can read the report of each suite on the reference results, as `l2obench report` writes it.

"""
WITH_LEADERBOARD = """The [leaderboard](gallery/leaderboard/index.html) ranks all optimizers ([how](leaderboard.md)).

"""
TAIL = """
Each report is one page that loads nothing from the network. `l2obench report results/reference/SUITE` makes it again.
[Results](results.md) says which step times not to quote.
"""


def suites() -> list[str]:
    """The suites with reference results."""
    return sorted(path.parent.name for path in REFERENCE.glob("*/manifest.json"))


def build_gallery(folder: Path, names: Sequence[str]) -> None:
    """Write the page of the gallery, and the reports that it links to.

    Args:
        folder: of the site's pages.
        names: suites whose reports are built; `all`: every one, and the leaderboard.
    """
    whole = ALL in names
    chosen = suites() if whole else list(names)
    began = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for name in pool.map(_build_report, chosen, [folder / FOLDER / name for name in chosen]):
            print(f"gallery: {name} ({time.perf_counter() - began:.0f} s)", file=sys.stderr)
    if whole:
        write_leaderboard([REFERENCE], folder / FOLDER / LEADERBOARD)
        _keep_page(folder / FOLDER / LEADERBOARD)
    (folder / "gallery.md").write_text(gallery_page(chosen, whole), encoding="utf-8")


def gallery_page(built: Sequence[str], with_leaderboard: bool = False) -> str:
    """Write the table of suites as a page.

    Args:
        built: suites whose reports are there, and linked.
        with_leaderboard: whether the leaderboard is there too.
    """
    rows = []
    for name in suites():
        manifest = json.loads((REFERENCE / name / "manifest.json").read_bytes())
        # Not the manifest's cells, of which some may not be finished.
        cells = pd.read_parquet(REFERENCE / name / "cells", columns=["task", "optimizer"])
        environment = manifest.get("environment") or {}
        rows.append(
            {
                "suite": name,
                "what it asks": manifest.get("description") or _name_families(cells),
                "tasks": cells["task"].nunique(),
                "optimizers": cells["optimizer"].nunique(),
                "date": str(manifest.get("started") or "—")[:10],
                "machine": environment.get("device_name") or environment.get("processor") or "—",
            }
        )
    table = to_markdown(pd.DataFrame(rows))
    for name in built:
        # The names of suites are words of the repository, which Markdown leaves as they are.
        table = re.sub(
            rf"^\| {re.escape(name)} \|", f"| [{name}]({FOLDER}/{name}/index.html) |", table, flags=re.MULTILINE
        )
    return HEAD + (WITH_LEADERBOARD if with_leaderboard else "") + table + TAIL


def _build_report(name: str, folder: Path) -> str:
    write_report([REFERENCE / name], folder)
    _keep_page(folder)
    return name


def _keep_page(folder: Path) -> None:
    """Leave the page alone: the site would make pages of the tables in Markdown."""
    shutil.rmtree(folder / "tables")


def _name_families(cells: pd.DataFrame) -> str:
    """What a run without a suite asks: it says only what ran."""
    families = cells["task"].str.partition("[")[0].unique()
    return f"Optimizers on {', '.join(families)}"
