"""What a run keeps of held-out metrics over the steps: a row for each seed and metric."""

from typing import Any

from l2obench.bench.rollout.loop import Trajectories


def to_record(result: Trajectories, k: int) -> list[dict[str, Any]]:
    """Give the held-out curves of one replica.

    Args:
        result: a rollout of one setting.
        k: the seed's place in the rollout.

    Returns:
        Records with `metric`, `steps` and `values`, which travel as JSON. Points from the step of divergence on are
        left out. There is no record where metrics were taken at the last step only.
    """
    if len(result.heldout_steps) < 2:
        return []
    diverged = int(result.diverged_at[k, 0])
    kept = sum(diverged < 0 or step < diverged for step in result.heldout_steps)
    return [
        {"metric": name, "steps": result.heldout_steps[:kept], "values": values[k, 0, :kept].tolist()}
        for name, values in result.heldout_curves.items()
    ]


def take_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the held-out curves out of the rows of a cell.

    Args:
        rows: rows of `cells`, each with the records of `to_record` under `heldout_curves`; that key is removed.

    Returns:
        Rows of `heldout`.
    """
    return [
        {name: row[name] for name in ("task", "optimizer", "track", "seed")} | record
        for row in rows
        for record in row.pop("heldout_curves", [])
    ]
