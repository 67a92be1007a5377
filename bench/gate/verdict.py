"""Decides cell by cell whether HEAD got worse than BASE, so that a run without a regression fails at most once in 100.

A cell is worse when, by one of its two measures (`l2obench.bench.gate.effect`), all of these hold: the 95 % interval
lies above no change, the change exceeds the task's tolerance, and the p-value, corrected by Holm's method for all
measures of all cells of the comparison, is at most `FALSE_ALARMS`. The last holds the rate of false alarms for the run
as a whole. A cell is inconclusive when an interval reaches beyond the tolerance and nothing was shown: its seeds rule
out neither a regression nor its absence.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.config.task_facts import TaskFacts, task_facts
from l2obench.bench.gate.best import best_baselines
from l2obench.bench.gate.cell_verdict import FAILING, VERDICTS, CellComparison, CellVerdict, Check, Settings
from l2obench.bench.gate.differences import differences
from l2obench.bench.gate.effect import Effect, effects, smallest_p_value
from l2obench.bench.gate.side import Recorded, paired
from l2obench.bench.gate.step_time import step_time_ratio
from l2obench.bench.gate.tail import OWN_RISE, seeds_in_the_tail
from l2obench.bench.stats import holm

# Of a whole comparison, not of a cell: users would stop to believe a gate that fails more often without a reason.
FALSE_ALARMS = 0.01


def compare(base: Sequence[Recorded], head: Sequence[Recorded], settings: Settings | None = None) -> Check:
    """Compare every cell of two sides.

    Args:
        base: BASE's cells.
        head: HEAD's cells.
        settings: tolerance, limit of step time, and whether cells may be missing; None: the defaults.

    Returns:
        The comparisons, in the order of `VERDICTS`.
    """
    asked = settings or Settings()
    found = [_beside(_measured(before, after, asked), after, head) for before, after in paired(base, head)]
    found = _corrected(found)
    decided = [_timed(_decided(item), asked) if item.effects else item for item in found]
    return Check(sorted(decided, key=lambda item: VERDICTS.index(item.verdict)))


def _measured(base: Recorded | None, head: Recorded | None, asked: Settings) -> CellComparison:
    """A cell before anything is decided by its p-values: its effects, or why it has none."""
    if base is None or head is None:
        return _alone(base or head, missing=head is None, asked=asked)
    task, optimizer, track = head.key
    about = task_facts(task)
    tolerance = about.tolerance if asked.tolerance is None else asked.tolerance
    cell = CellComparison(task, optimizer, track, "same", "", tolerance=tolerance)
    cell = replace(cell, warnings=_warnings(base, head, asked))
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
    # Before seeds that are missing: a seed that fails now is a regression, whatever else HEAD lacks.
    failed = np.flatnonzero(was & ~now)
    if failed.size:
        why = f"{failed.size} of {len(seeds)} seeds failed that did not before: {_why(after.iloc[failed[0]])}"
        return replace(cell, verdict="failed", reason=why)
    lacking = len(base.rows.index) - len(seeds)
    if lacking and not asked.allow_missing:
        reason = f"HEAD lacks {lacking} of {len(base.rows.index)} seeds; --allow-missing compares the rest"
        return replace(cell, verdict="missing", reason=reason)
    if not both.any() and now.any():
        return replace(cell, verdict="better", reason=f"{int(now.sum())} seeds finished, none did before")
    if not both.any():
        reason = f"every seed failed on both sides: {_why(after.iloc[0])}"
        return replace(cell, verdict="not comparable", reason=reason)
    old, new = (rows["final_loss"].to_numpy(dtype=float)[both] for rows in (before, after))
    floor = max((side.floor for side in (base, head) if side.floor is not None), default=about.floor)
    cell = replace(cell, effects=tuple(effects(old, new, floor)))
    if (tail := seeds_in_the_tail(old, new, floor)).size:
        return replace(cell, verdict="tail", reason=_tail(tail, old, new, seeds[both]))
    note = "" if about.known or asked.tolerance is not None else "the task is not registered here: default tolerance"
    return replace(cell, reason=note)


def _beside(item: CellComparison, cell: Recorded | None, head: Sequence[Recorded]) -> CellComparison:
    """A cell of HEAD with the names of the best baselines beside it."""
    if cell is None:
        return item
    of_class, of_all = best_baselines(cell, head)
    return replace(item, best_of_class=of_class, best_of_all=of_all)


def _warnings(base: Recorded, head: Recorded, asked: Settings) -> tuple[str, ...]:
    found = differences(base.facts, head.facts)
    if base.uses and head.uses and base.uses != head.uses:
        found.append(f"the optimizer looked at {base.uses}, now at {head.uses}")
    for name, side in (("BASE", base), ("HEAD", head)):
        if side.contradictions:
            found.append(f"in {name}, {side.contradictions} seeds have a final loss that contradicts their losses")
        if side.clock.under_load:
            again = " and ".join(side.clock.commands) or "the same run again"
            found.append(f"step times of {name} were taken under load: not judged. Try, on a quiet machine: {again}")
        if side.clock.under_load is None and side.clock.step_seconds and asked.time_limit is not None:
            found.append(f"nobody watched the load while the step times of {name} were taken")
    return tuple(found)


def _on(seeds: pd.Index, cell: Recorded) -> pd.DataFrame:
    return cell.rows if cell.rows.index.equals(seeds) else cell.rows.loc[seeds]


def _finished(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which seeds `[seeds]` ran to their end, to a finite loss."""
    losses: NDArray[np.float64] = rows["final_loss"].to_numpy(dtype=float)
    finished: NDArray[np.bool_] = np.isfinite(losses) & (rows["status"].to_numpy() == "ok")
    return finished


def _why(row: pd.Series) -> str:
    """The reason of a failed seed; where none was recorded, what was."""
    if isinstance(row["reason"], str) and row["reason"]:
        return row["reason"]
    loss = row["final_loss"]
    return f"no reason recorded, status {row['status']}" + ("" if pd.isna(loss) else f", final loss {loss:.4g}")


def _tail(tail: NDArray[np.int_], base: NDArray[np.float64], head: NDArray[np.float64], seeds: pd.Index) -> str:
    worst = tail[head[tail].argmax()]
    return (
        f"{tail.size} of {len(seeds)} seeds rose more than {OWN_RISE:.0f} times, beyond all of BASE: "
        f"seed {seeds[worst]} from {base[worst]:.4g} to {head[worst]:.4g}"
    )


def _alone(cell: Recorded | None, missing: bool, asked: Settings) -> CellComparison:
    assert cell is not None
    if not missing:
        return CellComparison(*cell.key, "new", "BASE does not have it")
    verdict: CellVerdict = "not comparable" if asked.allow_missing else "missing"
    return CellComparison(*cell.key, verdict, "BASE has it, HEAD does not")


def _changed(base: Recorded, head: Recorded, about: TaskFacts) -> str:
    """Why the sides did not do the same thing; empty where they did, as far as is known."""
    if base.task_version != head.task_version:
        return f"the task's version was {base.task_version}, now {head.task_version}"
    common = base.sources.keys() & head.sources.keys()
    if about.sources is not None:
        common &= about.sources
    changed = sorted(name for name in common if base.sources[name] != head.sources[name])
    return f"the data changed: {', '.join(changed)}" if changed else ""


def _corrected(found: list[CellComparison]) -> list[CellComparison]:
    """p-values corrected for the number of measures; cells whose seeds are too few for that are inconclusive."""
    total = sum(len(item.effects) for item in found)
    found = [_refused(item, total) if smallest_p_value(item.seeds) * total > FALSE_ALARMS else item for item in found]
    adjusted = iter(holm([effect.p_value for item in found for effect in item.effects]))
    return [
        replace(item, effects=tuple(replace(effect, p_value=float(next(adjusted))) for effect in item.effects))
        for item in found
    ]


def _refused(item: CellComparison, total: int) -> CellComparison:
    if not item.effects or not any(effect.changed for effect in item.effects):
        return item
    needed = int(np.ceil(np.log2(total / FALSE_ALARMS)))
    reason = f"{item.seeds} common seeds cannot show a regression among {total} measures; {needed} can"
    if item.verdict == "tail":
        return replace(item, effects=())
    return replace(item, verdict="inconclusive", reason=reason, effects=())


def _decided(item: CellComparison) -> CellComparison:
    assert item.tolerance is not None
    tolerance = item.tolerance
    worse = [effect for effect in item.effects if regressed(effect, tolerance)]
    if worse:
        what = " and ".join(f"{effect.measure} final loss × {effect.ratio:.4g}" for effect in worse)
        return replace(item, verdict="worse", reason=_joined(f"{what}, beyond {tolerance:.1%}", item.reason))
    if item.verdict == "tail":
        return item
    fell = any(effect.high < 1 and effect.ratio < 1 - tolerance for effect in item.effects)
    if fell and all(effect.ratio <= 1 for effect in item.effects):
        return replace(item, verdict="better")
    unclear = [effect for effect in item.effects if effect.high > 1 + tolerance and effect.changed]
    if unclear:
        what = " and ".join(f"the {effect.measure} final loss up to × {effect.high:.4g}" for effect in unclear)
        reason = f"the seeds allow {what}, beyond {tolerance:.1%}: more seeds would decide"
        return replace(item, verdict="inconclusive", reason=_joined(reason, item.reason))
    return item


def regressed(effect: Effect, tolerance: float) -> bool:
    """Whether an effect, its p-value corrected, is a regression.

    Args:
        effect: its `p_value` corrected by Holm's method.
        tolerance: relative change of the final loss that is allowed, such as 0.05.
    """
    return effect.low > 1 and effect.ratio > 1 + tolerance and effect.p_value <= FALSE_ALARMS


def _timed(item: CellComparison, asked: Settings) -> CellComparison:
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
