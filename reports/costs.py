"""What an optimizer costs: passes, FLOPs, memory, seconds a step, tuning and meta-training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.counting import fact, groups, manifest_of, seconds

COLUMNS = ["task", "optimizer", "track", "learned", "forward_passes", "backward_passes", "tuning_passes"]
COLUMNS += ["parameters", "flops_per_coordinate", "state_bytes_per_parameter", "grad_microseconds"]
COLUMNS += ["update_microseconds", "meta_training_seconds", "meta_training_trajectories"]


def costs(cells: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The whole cost of every (task, optimizer, track), nothing left out and nothing summed.

    Passes are those of one seed's trajectory; `tuning_passes` are all that tuning took on this task. FLOPs are of the
    update for one coordinate, without the gradient. `meta_training_trajectories` counts functions trained on, one
    trajectory each. What a run's manifest does not tell, or nobody measured, is missing, not 0; a hand-designed rule
    has no meta-training, and there 0 is meant.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    rows = []
    for key, seeds in groups(cells, "task", "optimizer", "track"):
        manifest = manifest_of(key, manifests)
        rows.append(key | _cost(seeds, manifest.get("costs") or {}))
    return pd.DataFrame(rows, columns=[*(["run"] if "run" in cells else []), *COLUMNS])


def _cost(rows: pd.DataFrame, known: Mapping[str, Any]) -> dict[str, Any]:
    name, task, learned = rows["optimizer"].iloc[0], rows["task"].iloc[0], bool(rows["learned"].eq(True).any())
    parameters = fact((known.get("tasks") or {}).get(task), "parameters")
    about = (known.get("optimizers") or {}).get(name) or {}
    training = about.get("meta_training")
    functions = fact(training, "trajectories") * fact(training, "functions")
    return {
        "learned": learned,
        **{column: rows[column].astype(float).max() for column in ("forward_passes", "backward_passes")},
        "tuning_passes": rows["tuning_passes"].astype(float).max(),
        "parameters": parameters,
        "flops_per_coordinate": fact(about, "flops_per_coordinate"),
        "state_bytes_per_parameter": rows["state_bytes"].astype(float).max() / parameters,
        "grad_microseconds": 1e6 * seconds(rows, "grad_seconds"),
        "update_microseconds": 1e6 * seconds(rows, "update_seconds"),
        "meta_training_seconds": fact(training, "seconds") if learned else 0.0,
        "meta_training_trajectories": functions if learned else 0.0,
    }
