"""Fixed targets: the loss to reach on a task, written down once, so that no run and no new optimizer moves it.

The target of a task is the median final loss of its best tuned baseline, in the run of the commit that `targets.toml`
names. `l2obench targets RUN` makes the entries. A target holds for one version of its task and for no other.
"""

import json
import math
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2obench.bench.stats.intervals import median
from l2obench.bench.stats.reaching import steps_to_target
from l2obench.foundation.errors import describe_message
from l2obench.foundation.toml_text import parse_toml

REFERENCE = "adam"
"""The optimizer that costs are compared with, in its track `tuned`."""


class TargetError(ValueError):
    """A file of targets that is damaged, or a run from which none can be made."""

    exit_code = 2


class Target(BaseModel):
    """The loss to reach on one version of a task, and where the number comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    task: str
    task_version: int
    loss: float
    """The target: compared with the mean of the task's last `final_window` losses, as the final loss is."""
    optimizer: str
    """The best tuned baseline, by mean final loss; `loss` is its median."""
    lr: float
    """Its tuned learning rate."""
    seeds: int = Field(ge=1)
    adam_lr: float | None = None
    """The learning rate of tuned Adam, the reference; none where it did not run."""
    adam_steps: float | None = None
    """Steps by which tuned Adam is at the target on half of the seeds; none where it never is."""
    commit: str
    """The commit of the run, with `+` where it had uncommitted changes."""


@lru_cache(maxsize=1)
def stored_targets() -> dict[tuple[str, int], Target]:
    """The targets that come with this version, by task identity and task version.

    Raises:
        TargetError: the file is damaged.
    """
    return parse_targets((resources.files("l2obench.bench.stats") / "targets.toml").read_text(encoding="utf-8"))


def parse_targets(text: str) -> dict[tuple[str, int], Target]:
    """Targets out of TOML, by task identity and task version.

    Args:
        text: what `format_targets` writes: a table `[[target]]` for each task and version.

    Raises:
        TargetError: it is no TOML, an entry is wrong, or two are of the same task and version.
    """
    try:
        entries = [Target(**entry) for entry in parse_toml(text).get("target", [])]
    except (ValidationError, ValueError, TypeError) as error:
        raise TargetError(f"the file of targets is damaged: {describe_message(error)}") from error
    targets = {(entry.task, entry.task_version): entry for entry in entries}
    if len(targets) < len(entries):
        raise TargetError("the file of targets is damaged: it has two entries of one task and version")
    return targets


def make_targets(cells: pd.DataFrame, commit: str) -> list[Target]:
    """A target for every task of a run on which a tuned baseline has a finite median; the order is the run's.

    Args:
        cells: rows of the kind `cells`, of one run.
        commit: what the run was computed with.

    Returns:
        A target for each such task; a task whose best baseline has an infinite median has none.
    """
    tuned = cells[(cells["track"] == "tuned") & ~cells["learned"].eq(True)]
    found = [_target(rows, commit) for _, rows in tuned.groupby("task", sort=False)]
    return [target for target in found if target is not None]


def format_targets(targets: Iterable[Target]) -> str:
    """Targets as TOML, sorted by task, as `parse_targets` reads them.

    Args:
        targets: at most one of each task and version.
    """
    blocks = []
    for target in sorted(targets, key=lambda target: (target.task, target.task_version)):
        values = target.model_dump(exclude_none=True)
        # A JSON number or string is TOML's too: both escape quotes, backslashes and control characters alike.
        blocks.append("[[target]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return "\n".join(blocks)


def _target(tuned: pd.DataFrame, commit: str) -> Target | None:
    by_optimizer = {str(name): rows for name, rows in tuned.groupby("optimizer", sort=False)}
    with np.errstate(over="ignore"):  # a sum of losses near the largest float is infinite, as their mean then is
        best = min(by_optimizer, key=lambda name: _losses(by_optimizer[name]).mean())
        rows, adam = by_optimizer[best], by_optimizer.get(REFERENCE)
        loss = float(np.median(_losses(rows)))
    if not np.isfinite(loss):
        return None
    reference = {} if adam is None else {"adam_lr": _lr(adam), "adam_steps": _steps(adam, loss)}
    return Target(
        task=str(rows["task"].iloc[0]),
        task_version=int(rows["task_version"].iloc[0]),
        loss=loss,
        optimizer=best,
        lr=_lr(rows),
        seeds=len(rows),
        commit=commit,
        **reference,
    )


def _losses(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Final losses `[seeds]`, a failed seed's infinite."""
    losses = rows["final_loss"].astype(float).fillna(np.inf).where(rows["status"] == "ok", np.inf)
    return np.asarray(losses, dtype=np.float64)


def _lr(rows: pd.DataFrame) -> float:
    text = rows["hyperparameters"].iloc[0]
    found = json.loads(text).get("lr") if isinstance(text, str) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise TargetError(f"{rows['optimizer'].iloc[0]} of the track tuned must have a learning rate, got {found!r}")
    return float(found)


def _steps(rows: pd.DataFrame, target: float) -> float | None:
    steps = np.full(len(rows), np.inf)
    known = rows["loss"].notna().to_numpy()
    if known.any():
        steps[known] = steps_to_target(
            np.stack(rows["loss"][known].to_list()), target, int(rows["final_window"].iloc[0])
        )
    half = median(steps).estimate
    return half if np.isfinite(half) else None
