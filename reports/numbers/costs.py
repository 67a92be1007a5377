"""What an optimizer costs: passes, FLOPs, memory, seconds a step, tuning and meta-training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.cells.table import CELL, CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.counting import fact, manifest_of, table_of

COLUMNS = ["task", "optimizer", "track", "learned", "forward_passes", "backward_passes", "tuning_passes"]
COLUMNS += ["record_passes", "parameters", "flops_per_coordinate", "state_bytes_per_parameter", "bytes_per_coordinate"]
COLUMNS += [
    "bytes_once_per_coordinate",
    "grad_microseconds",
    "update_microseconds",
    "update_nanoseconds_per_coordinate",
]
COLUMNS += ["meta_training_seconds", "meta_training_trajectories"]
COUNTS = ["update_flops", "update_bytes", "record_passes"]
NOT_COUNTED = dict.fromkeys(COUNTS, np.nan)
# Bytes of a float32, in which all rollouts are computed.
NUMBER = 4


def costs(
    cells: pd.DataFrame | CellTable,
    manifests: Mapping[str, Mapping[str, Any]],
    timing: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The whole cost of every (task, optimizer, track), nothing left out and nothing summed.

    Passes are those of one seed's trajectory; `tuning_passes` are all that tuning took on this task, and
    `record_passes`, for one step, what the record takes beyond them for losses at an average of iterates. FLOPs and
    bytes are of the update for one coordinate, without the gradient. FLOPs are those that the rule states, else those
    counted in the timing pass. `bytes_per_coordinate` is what the update's operators read and write one after the
    other, `bytes_once_per_coordinate` what is left if gradient and state are read and update and state are written once
    each. `meta_training_trajectories` counts functions trained on, one trajectory each. What a run's manifest does not
    say, or nobody measured, is missing, not 0; a hand-designed rule has no meta-training, and there 0 is meant.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
        timing: rows of the timing pass, which counted what an update does.
    """
    counted = {} if timing is None else _counted(timing)
    rows = []
    for cell in table_of_cells(cells).cells:
        manifest = manifest_of(cell.key(), manifests)
        counts = counted.get(tuple(cell.key("task", "optimizer").values()), NOT_COUNTED)
        rows.append(cell.key(*CELL) | _cost(cell, manifest.get("costs") or {}, counts))
    return table_of(cells, COLUMNS, rows)


def _counted(timing: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, float]]:
    """What the last timing pass counted of each optimizer on each task."""
    keys = [*(["run"] if "run" in timing else []), "task", "optimizer"]
    last = timing.drop_duplicates(keys, keep="last")
    counts = last[COUNTS].astype(float).itertuples(index=False, name=None)
    places = last[keys].itertuples(index=False, name=None)
    return {place: dict(zip(COUNTS, row, strict=True)) for place, row in zip(places, counts, strict=True)}


def _cost(rows: CellRows, known: Mapping[str, Any], counted: Mapping[str, float]) -> dict[str, Any]:
    learned = rows.learned
    parameters = fact((known.get("tasks") or {}).get(rows.task), "parameters")
    about = (known.get("optimizers") or {}).get(rows.optimizer) or {}
    training = about.get("meta_training")
    functions = fact(training, "trajectories") * fact(training, "functions")
    stated, state_bytes = fact(about, "flops_per_coordinate"), np.float64(rows.largest("state_bytes")) / parameters
    update = rows.number("update_seconds")
    return {
        "learned": learned,
        **{column: rows.largest(column) for column in ("forward_passes", "backward_passes")},
        "tuning_passes": rows.largest("tuning_passes"),
        "record_passes": counted["record_passes"],
        "parameters": parameters,
        "flops_per_coordinate": counted["update_flops"] / parameters if np.isnan(stated) else stated,
        "state_bytes_per_parameter": state_bytes,
        "bytes_per_coordinate": counted["update_bytes"] / parameters,
        "bytes_once_per_coordinate": 2 * (NUMBER + state_bytes),
        "grad_microseconds": 1e6 * rows.number("grad_seconds"),
        "update_microseconds": 1e6 * update,
        "update_nanoseconds_per_coordinate": 1e9 * update / parameters,
        "meta_training_seconds": fact(training, "seconds") if learned else 0.0,
        "meta_training_trajectories": functions if learned else 0.0,
    }
