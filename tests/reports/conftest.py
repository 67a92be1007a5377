"""Small synthetic runs, written through the store as the runner writes them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.store.run_folder import RunFolder

Rows = list[dict[str, Any]]
Cell = Callable[..., Rows]
STEPS = 20


@pytest.fixture(scope="session")
def cell() -> Cell:
    """Makes the rows of a cell from its final losses, one a seed; infinity is a seed that diverged, None an error."""

    def make(
        optimizer: str,
        final_losses: Sequence[float | None],
        *,
        task: str = "bowl",
        track: str = "tuned",
        learned: bool = False,
        lr: float = 0.1,
        seconds: tuple[float, float] = (2e-4, 1e-4),
        first_seed: int = 0,
        **columns: Any,
    ) -> Rows:
        return [
            {
                "task": task,
                "task_version": 1,
                "optimizer": optimizer,
                "optimizer_version": 1,
                "checkpoint_sha256": None,
                "learned": learned,
                "track": track,
                "hyperparameters": f'{{"lr": {lr}}}',
                "seed": first_seed + seed,
                "steps": STEPS,
                "final_window": 1,
                "heldout_loss": None,
                "heldout_accuracy": None,
                "grad_seconds": seconds[0],
                "update_seconds": seconds[1],
                "forward_passes": STEPS,
                "backward_passes": STEPS,
                "tuning_passes": 0,
                "state_bytes": 80,
                **_outcome(final, failed_step=5 + seed),
                **columns,
            }
            for seed, final in enumerate(final_losses)
        ]

    return make


def _outcome(final: float | None, failed_step: int) -> dict[str, Any]:
    """A trajectory from 10 down to its final loss, in equal steps of the logarithm, or a failure."""
    if final is None:
        return {"status": "error", "reason": "ValueError: no such thing", "failed_step": None, "loss": None}
    if np.isinf(final):
        losses = np.full(STEPS + 1, np.inf)
        losses[:failed_step] = 10.0
        reason = f"the loss was not finite, at step {failed_step}"
        return {
            "status": "diverged",
            "reason": reason,
            "failed_step": failed_step,
            "loss": losses.tolist(),
            "final_loss": np.inf,
        }
    losses = np.linspace(10.0, final, STEPS + 1) if final <= 0 else np.geomspace(10.0, final, STEPS + 1)
    return {"status": "ok", "reason": None, "failed_step": None, "loss": losses.tolist(), "final_loss": final}


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    """Cells as one frame, typed as the store reads it."""

    def make(*cells: Rows) -> pd.DataFrame:
        return pd.DataFrame([row for rows in cells for row in rows])

    return make


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Writes a run: its cells, a timing pass that agrees with them, and tuning rows for the track `tuned`."""

    def write(folder: Path, cells: Sequence[Rows], /, **manifest: Any) -> Path:
        run = RunFolder(folder)
        about = {
            "suite": "toy",
            "description": "A toy suite",
            "command": "l2obench run toy",
            "started": "2026-11-23T21:00:00Z",
            "environment": {
                "versions": {"torch": "2.14.1"},
                "python": "3.11.7",
                "system": "Linux x86_64",
                "processor": "AMD EPYC",
                "threads": 2,
                "device": "cpu",
                "device_name": "AMD EPYC",
                "commit": "0123abcd",
                "dirty": True,
            },
            "sources": {"digits": {"description": "real digits", "sha256": "ab12"}},
            "cells": [_key(rows) | {"seeds": len(rows)} for rows in cells],
        }
        run.begin(about | manifest)
        timings: dict[str, dict[str, Rows]] = {}
        for number, rows in enumerate(cells):
            run.write("cells", f"{number:03}", {}, rows)
            timings.setdefault(rows[0]["task"], {})[rows[0]["optimizer"]] = [_timing(rows[0])]
            if rows[0]["track"] == "tuned":
                run.write("tuning", f"{number:03}", {}, _tuning(rows[0]))
        for number, by_optimizer in enumerate(timings.values()):
            run.write("timing", f"{number:03}", {}, [row for rows in by_optimizer.values() for row in rows])
        return folder

    return write


def _key(rows: Rows) -> dict[str, Any]:
    return {name: rows[0][name] for name in ("task", "optimizer", "track")}


def _timing(row: dict[str, Any]) -> dict[str, Any]:
    seconds = {
        f"{name}{suffix}": row[name] and factor * row[name]
        for name in ("grad_seconds", "update_seconds")
        for suffix, factor in (("", 1.0), ("_q25", 0.9), ("_q75", 1.2))
    }
    about = {"timed_steps": 50, "threads": 1, "device": "cpu", "reason": None}
    return {"task": row["task"], "optimizer": row["optimizer"], **seconds, **about}


def _tuning(row: dict[str, Any]) -> Rows:
    losses = {0.01: [3.0, 5.0], 0.1: [1.0, 2.0], 1.0: [4.0, np.inf]}
    return [
        {
            "task": row["task"],
            "optimizer": row["optimizer"],
            "lr": lr,
            "seed": seed,
            "status": "ok" if np.isfinite(loss) else "diverged",
            "failed_step": None,
            "steps": STEPS,
            "final_loss": loss,
            "chosen": lr == 0.1,
            "at_edge": False,
        }
        for lr, values in losses.items()
        for seed, loss in enumerate(values)
    ]
