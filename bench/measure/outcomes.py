"""What becomes of one seed under one setting while hyperparameters are chosen, and what decides among settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from l2obench.bench.failures import from_model
from l2obench.tasks.base import Task


def outcomes(task: Task, losses: Tensor, diverged_at: Tensor) -> list[list[dict[str, Any]]]:
    """The columns `status`, `failed_step`, `steps` and `final_loss` of each setting and seed.

    Args:
        task: the family.
        losses: f(θ₀) … f(θ_T), `[seeds, settings, steps + 1]`.
        diverged_at: the step at which each replica diverged, `[seeds, settings]`; −1: it did not.

    Returns:
        For each setting, a row for each seed.
    """
    with from_model:
        final_loss = task.final_loss(losses.double()).tolist()
    failed_at = diverged_at.tolist()
    return [
        [
            {
                "status": "ok" if failed_at[seed][k] < 0 else "diverged",
                "failed_step": failed_at[seed][k] if failed_at[seed][k] >= 0 else None,
                "steps": task.horizon,
                "final_loss": final_loss[seed][k],
            }
            for seed in range(len(failed_at))
        ]
        for k in range(losses.shape[1])
    ]


def score(rows: Sequence[Mapping[str, Any]], column: str = "final_loss") -> tuple[float, int]:
    """Give what decides among settings: the mean, infinite where a function diverged, then how many did.

    Args:
        rows: of one setting, one for each seed.
        column: what is averaged.
    """
    failed = sum(row["status"] != "ok" for row in rows)
    mean = math.inf if failed else math.fsum(row[column] for row in rows) / len(rows)
    return (mean if math.isfinite(mean) else math.inf), failed
