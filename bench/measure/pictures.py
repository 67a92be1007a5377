"""Snapshots of a task whose parameters are a picture: what a run keeps of them, as PNG, for its first seeds."""

import base64
import io
from typing import Any

from PIL import Image
from torch import Tensor

from l2obench.bench.rollout.loop import Trajectories
from l2obench.bench.rollout.seeds import generator
from l2obench.tasks.base import Task

SEEDS = 3
"""Pictures of so many seeds are kept. They are illustrations, and no number depends on them."""


def to_record(task: Task, result: Trajectories, k: int, seed: int) -> list[dict[str, Any]]:
    """Encode the pictures of one replica, and those that its function was drawn from.

    Args:
        task: the family.
        result: a rollout of one setting.
        k: the seed's place in the rollout.
        seed: the seed itself, from which the originals are drawn again.

    Returns:
        Records with `what`, `step` and `png` in base64, so that they can travel as JSON. There is none from the step
        of divergence on.
    """
    if not result.pictures:
        return []
    diverged = int(result.diverged_at[k, 0])
    steps = [step for step in sorted(result.pictures) if diverged < 0 or step < diverged]
    shown = [("picture", step, result.pictures[step][k, 0]) for step in steps if k < len(result.pictures[step])]
    originals = [(what, None, picture) for what, picture in task.originals(generator(seed)).items()] if shown else []
    return [{"what": what, "step": step, "png": _encoded(picture)} for what, step, picture in [*originals, *shown]]


def take_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the pictures out of the rows of a cell.

    Args:
        rows: rows of `cells`, each with the records of `to_record` under `pictures`; that key is removed.

    Returns:
        Rows of `pictures`, with PNG as bytes.
    """
    return [
        {name: row[name] for name in ("task", "optimizer", "track", "seed")}
        | record
        | {"png": base64.b64decode(record["png"])}
        for row in rows
        for record in row.pop("pictures", [])
    ]


def _encoded(picture: Tensor) -> str:
    """A picture `[3, h, w]` uint8 as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
