"""The gate of `make benchmark`: it fails where a ratio to a peer lost a quarter against the committed one.

Times move between machines and days, ratios of one run hardly do. On another processor, or where either run was not
quiet, the gate only advises.
"""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

LOST_SHARE = 0.25


@dataclass(frozen=True)
class Finding:
    """What the comparison of two runs found."""

    lost: list[str]
    """A line for each row whose ratio lost a quarter or more."""
    advisory: str | None
    """Why the rows do not fail the run; none: they do."""

    @property
    def fails(self) -> bool:
        return bool(self.lost) and self.advisory is None

    def lines(self) -> list[str]:
        """What is printed at the end of the run."""
        if not self.lost:
            return ["No ratio lost a quarter against the committed ones."]
        head = "Ratios lost a quarter against the committed ones"
        return [f"{head}; {self.advisory}:" if self.advisory else f"{head}, which fails this run:", *self.lost]


def compare(rows: pd.DataFrame, committed: pd.DataFrame | None) -> Finding:
    """Compare the ratios of this run with the committed ones, row by row.

    Rows of one of them only, and of peers that were not installed, are not compared.

    Args:
        rows: as `to_frame` makes them, with the columns `processor` and `under_load`.
        committed: the same of the committed run; none: there is none.
    """
    if committed is None:
        return Finding([], "there is no committed run")
    keys = ["path", "peer"]
    both = rows.merge(committed[[*keys, "ratio"]], on=keys, suffixes=("", "_before")).dropna(
        subset=["ratio", "ratio_before"]
    )
    lost = both[both["ratio"] <= (1 - LOST_SHARE) * both["ratio_before"]]
    lines = [
        f"  {row.path}, against {row.peer}: {row.ratio:.3g}, committed {row.ratio_before:.3g}"
        for row in lost.itertuples()
    ]
    return Finding(lines, _advisory(rows, committed))


def _advisory(rows: pd.DataFrame, committed: pd.DataFrame) -> str | None:
    here, there = _one(rows, "processor"), _one(committed, "processor")
    if there is None:
        return "the committed run does not name its processor, so this is advice"
    if here != there:
        return f"they were measured on {there}, this run on {here}, so this is advice"
    if _one(rows, "under_load") is not False or _one(committed, "under_load") is not False:
        return "one of the two runs was not measured quiet, so this is advice"
    return None


def _one(rows: pd.DataFrame, column: str) -> object:
    """What a column says of the whole run; none where it has none, or says nothing."""
    if column not in rows or rows.empty or pd.isna(rows[column].iloc[0]):
        return None
    value = rows[column].iloc[0]
    return bool(value) if column == "under_load" else value


def committed_rows(path: Path) -> pd.DataFrame | None:
    """Read the rows that git holds: the file itself may be of the last run. Without git, the file is read.

    Args:
        path: of the Parquet file.
    """
    shown = None
    if path.parent.is_dir():
        try:
            command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
            shown = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            shown = None
    if shown is not None and shown.returncode == 0:
        return pd.read_parquet(io.BytesIO(shown.stdout))
    return pd.read_parquet(path) if path.is_file() else None
