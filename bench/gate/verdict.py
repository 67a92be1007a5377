"""Decides cell by cell whether HEAD got worse than BASE, so that a run without a regression fails at most once in 100.

A cell is worse when, by one of its two measures (`l2obench.bench.gate.effect`), all of these hold: the 95 % interval
lies above no change, the change exceeds the task's tolerance, and the p-value, corrected by Holm's method for all
measures of all cells of the comparison, is at most `FALSE_ALARMS`. The last holds the rate of false alarms for the run
as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.gate.effect import Effect, effects, smallest_p_value
from l2obench.bench.gate.side import Recorded, paired
from l2obench.bench.gate.step_time import step_time_ratio
from l2obench.bench.gate.task_facts import TaskFacts, task_facts
from l2obench.bench.stats import holm

FALSE_ALARMS = 0.01
Verdict = Literal["failed", "missing", "worse", "slower", "not comparable", "new", "better", "same"]
VERDICTS: tuple[Verdict, ...] = ("failed", "missing", "worse", "slower", "not comparable", "new", "better", "same")
"""In the order in which they are shown."""
FAILING: frozenset[Verdict] = frozenset({"failed", "missing", "worse", "slower"})
NOT_COMPARED: frozenset[Verdict] = frozenset({"missing", "not comparable", "new"})
EXIT_FINE, EXIT_REGRESSION, EXIT_NOTHING_COMPARABLE = 0, 1, 4


@dataclass(frozen=True)
class Settings:
    """What a check is asked for besides its two sides."""

    tolerance: float | None = None
    """Instead of what the tasks state."""
    allow_missing: bool = False
    """Cells that HEAD lacks do not fail."""
    time_limit: float | None = None
    """Step-time ratio above which a cell fails; none: step time is advisory."""


@dataclass(frozen=True)
class Comparison:
    """What was found of one cell."""

    task: str
    optimizer: str
    track: str
    verdict: Verdict
    reason: str
    """Why, in words; empty where there is nothing to say."""
    seeds: int = 0
    """Seeds that both sides finished."""
    tolerance: float | None = None
    effects: tuple[Effect, ...] = ()
    """With p-values corrected by Holm's method."""
    step_time_ratio: float | None = None


@dataclass(frozen=True)
class Check:
    """What was found of all cells."""

    comparisons: list[Comparison]

    @property
    def failing(self) -> list[Comparison]:
        return [item for item in self.comparisons if item.verdict in FAILING]

    @property
    def compared(self) -> list[Comparison]:
        return [item for item in self.comparisons if item.verdict not in NOT_COMPARED]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a regression, 4 nothing was comparable, whatever is missing."""
        if not self.compared:
            return EXIT_NOTHING_COMPARABLE
        return EXIT_REGRESSION if self.failing else EXIT_FINE


def compare(base: Sequence[Recorded], head: Sequence[Recorded], settings: Settings | None = None) -> Check:
    """Every cell of two sides, in the order of `VERDICTS`."""
    asked = settings or Settings()
    found = [_measured(before, after, asked) for before, after in paired(base, head)]
    found = _corrected(found)
    decided = [_timed(_decided(item), asked) if item.effects else item for item in found]
    return Check(sorted(decided, key=lambda item: VERDICTS.index(item.verdict)))


def _measured(base: Recorded | None, head: Recorded | None, asked: Settings) -> Comparison:
    """A cell before anything is decided by its p-values: its effects, or why it has none."""
    if base is None or head is None:
        return _alone(base or head, missing=head is None, asked=asked)
    task, optimizer, track = head.key
    about = task_facts(task)
    tolerance = about.tolerance if asked.tolerance is None else asked.tolerance
    cell = Comparison(task, optimizer, track, "same", "", tolerance=tolerance)
    if reason := _changed(base, head, about):
        return replace(cell, verdict="not comparable", reason=reason)
    same = base.rows.index.equals(head.rows.index)
    seeds = head.rows.index if same else base.rows.index.intersection(head.rows.index)
    if seeds.empty:
        return replace(cell, verdict="not comparable", reason="the sides have no seed in common")
    before, after = _on(seeds, base), _on(seeds, head)
    was, now = _finished(before), _finished(after)
    both = was & now
    cell = replace(cell, step_time_ratio=step_time_ratio(base, head), seeds=int(both.sum()))
    failed = np.flatnonzero(was & ~now)
    if failed.size:
        first = after.iloc[failed[0]]
        why = first["reason"] or f"status {first['status']}, final loss {first['final_loss']}"
        return replace(
            cell, verdict="failed", reason=f"{failed.size} of {len(seeds)} seeds failed that did not before: {why}"
        )
    if not both.any() and now.any():
        return replace(cell, verdict="better", reason=f"{int(now.sum())} seeds finished, none did before")
    if not both.any():
        return replace(cell, verdict="not comparable", reason="every seed failed on both sides")
    losses = [rows["final_loss"].to_numpy(dtype=float)[both] for rows in (before, after)]
    note = "" if about.known or asked.tolerance is not None else "the task is not registered here: default tolerance"
    return replace(cell, effects=tuple(effects(*losses)), reason=note)


def _on(seeds: pd.Index, cell: Recorded) -> pd.DataFrame:
    return cell.rows if cell.rows.index.equals(seeds) else cell.rows.loc[seeds]


def _finished(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which seeds `[seeds]` ran to their end, to a finite loss."""
    losses: NDArray[np.float64] = rows["final_loss"].to_numpy(dtype=float)
    finished: NDArray[np.bool_] = np.isfinite(losses) & (rows["status"].to_numpy() == "ok")
    return finished


def _alone(cell: Recorded | None, missing: bool, asked: Settings) -> Comparison:
    assert cell is not None
    if not missing:
        return Comparison(*cell.key, "new", "BASE does not have it")
    verdict: Verdict = "not comparable" if asked.allow_missing else "missing"
    return Comparison(*cell.key, verdict, "BASE has it, HEAD does not")


def _changed(base: Recorded, head: Recorded, about: TaskFacts) -> str:
    """Why the sides did not do the same thing; empty where they did, as far as is known."""
    if base.task_version != head.task_version:
        return f"the task's version was {base.task_version}, now {head.task_version}"
    common = base.sources.keys() & head.sources.keys()
    if about.sources is not None:
        common &= about.sources
    changed = sorted(name for name in common if base.sources[name] != head.sources[name])
    return f"the data changed: {', '.join(changed)}" if changed else ""


def _corrected(found: list[Comparison]) -> list[Comparison]:
    """p-values corrected for the number of measures; cells whose seeds are too few for that are not comparable."""
    total = sum(len(item.effects) for item in found)
    found = [_refused(item, total) if smallest_p_value(item.seeds) * total > FALSE_ALARMS else item for item in found]
    adjusted = iter(holm([effect.p_value for item in found for effect in item.effects]))
    return [
        replace(item, effects=tuple(replace(effect, p_value=float(next(adjusted))) for effect in item.effects))
        for item in found
    ]


def _refused(item: Comparison, total: int) -> Comparison:
    if not item.effects:
        return item
    needed = int(np.ceil(np.log2(total / FALSE_ALARMS)))
    reason = f"{item.seeds} common seeds cannot show a regression among {total} measures; {needed} can"
    return replace(item, verdict="not comparable", reason=reason, effects=())


def _decided(item: Comparison) -> Comparison:
    assert item.tolerance is not None
    tolerance = item.tolerance
    worse = [effect for effect in item.effects if regressed(effect, tolerance)]
    if worse:
        what = " and ".join(f"{effect.measure} final loss × {effect.ratio:.4g}" for effect in worse)
        return replace(item, verdict="worse", reason=_joined(f"{what}, beyond {tolerance:.1%}", item.reason))
    fell = any(effect.high < 1 and effect.ratio < 1 - tolerance for effect in item.effects)
    if fell and all(effect.ratio <= 1 for effect in item.effects):
        return replace(item, verdict="better")
    return item


def regressed(effect: Effect, tolerance: float) -> bool:
    """Whether an effect, its p-value corrected, is a regression."""
    return effect.low > 1 and effect.ratio > 1 + tolerance and effect.p_value <= FALSE_ALARMS


def _timed(item: Comparison, asked: Settings) -> Comparison:
    if asked.time_limit is None or item.verdict in FAILING:
        return item
    if item.step_time_ratio is None:
        return replace(item, reason=_joined("step time cannot be compared", item.reason))
    if item.step_time_ratio <= asked.time_limit:
        return item
    reason = f"step time × {item.step_time_ratio:.3g}, beyond × {asked.time_limit:g}"
    return replace(item, verdict="slower", reason=_joined(reason, item.reason))


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)
