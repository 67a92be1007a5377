"""On how many tasks a learned optimizer ends below a baseline, untuned or tuned, the tasks it was trained on apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import REFERENCE, ratio_of_means
from l2obench.reports.formats import one_line
from l2obench.reports.numbers.counting import counted_losses, failed, groups, manifest_of
from l2obench.reports.numbers.familiarity import KIN, OTHERS, TRAINED, familiarity, training_families
from l2obench.reports.numbers.reference import paired

COLUMNS = ["optimizer", "against", "families", "tasks", "lower", "clearly_lower", "clearly_higher"]
COLUMNS += ["median_ratio", "failing_tasks"]
TRACKS = ("default", "tuned")
ALL = "all"


def wins(cells: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every learned optimizer against every baseline in each of its tracks, counted over tasks.

    A task is `lower` where the ratio of mean final losses, on the seeds that both ran, is below 1, and `clearly_lower`
    or `clearly_higher` where all of its 95 % interval is on that side. `families` parts the tasks into those that the
    optimizer was trained on, others of the same name (other parameters), and those of names that training did not see.
    `failing_tasks` are those where any of its seeds failed.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    compared = [row for _, task in groups(cells, "task") for row in _on_task(task, manifests)]
    table = pd.DataFrame(compared)
    if table.empty:
        return pd.DataFrame(columns=[*(["run"] if "run" in cells else []), *COLUMNS])
    found = []
    for key, rows in groups(table, "optimizer", "against"):
        parts = [(name, rows[rows["families"] == name]) for name in (TRAINED, KIN, OTHERS)]
        found += [key | {"families": name} | _counts(part) for name, part in [*parts, (ALL, rows)] if len(part)]
    return pd.DataFrame(found, columns=[*(["run"] if "run" in cells else []), *COLUMNS])


def sentences(table: pd.DataFrame) -> list[str]:
    """The counts against Adam, over all tasks and those held out, in words; nothing where there is only one task."""
    said = []
    table = table[table["against"].isin(map(_against, (REFERENCE, REFERENCE), TRACKS))]
    keys = [name for name in ("run", "optimizer", "against") if name in table]
    for _, rows in table.groupby(keys, sort=False):
        by = rows.set_index("families").to_dict("index")
        if by[ALL]["tasks"] < 2:
            continue
        apart = f", on {by[OTHERS]['lower']} of the {by[OTHERS]['tasks']} held out" if OTHERS in by else ""
        where = f" in {rows['run'].iloc[0]}" if "run" in rows else ""
        said.append(
            one_line(
                f"{rows['optimizer'].iloc[0]} ends below {rows['against'].iloc[0]} on {by[ALL]['lower']} of "
                f"{by[ALL]['tasks']} tasks{where}{apart}; it fails on {by[ALL]['failing_tasks']}."
            )
        )
    return said


def _on_task(task: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    baselines = list(groups(task[~task["learned"].eq(True)], "optimizer", "track"))
    for key, own in groups(task[task["learned"].eq(True)], "task", "optimizer"):
        families = training_families(own, manifest_of(key, manifests))
        for other, rows in baselines:
            mine, others = paired(own, rows)
            if not mine.empty:
                ratio = ratio_of_means(counted_losses(mine), counted_losses(others))
                found.append(
                    key
                    | {"against": _against(other["optimizer"], other["track"])}
                    | {"families": familiarity(key["task"], families), "failed": failed(own) > 0}
                    | {"ratio": ratio.estimate, "low": ratio.low, "high": ratio.high}
                )
    return found


def _against(optimizer: str, track: str) -> str:
    return f"{optimizer}, {'untuned' if track == 'default' else track}"


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    ratios = rows["ratio"].astype(float)
    return {
        "tasks": len(rows),
        "lower": int((ratios < 1).sum()),
        "clearly_lower": int((rows["high"] < 1).sum()),
        "clearly_higher": int((rows["low"] > 1).sum()),
        "median_ratio": float(np.quantile(ratios, 0.5, method="inverted_cdf")),
        "failing_tasks": int(rows["failed"].sum()),
    }
