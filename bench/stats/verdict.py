"""What two optimizers' losses on the same seeds say: better, worse, no difference, mixed, or too few seeds.

A verdict rests on the typical ratio, whose interval holds on real trajectories from ten seeds on (docs/protocol.md).
The win rate and the ratio of means stand beside it. Every table, page, command and gate decides by this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from l2obench.bench.stats.intervals import CONFIDENCE, Interval
from l2obench.bench.stats.mean_ratio import FEW, mean_difference, mean_ratio
from l2obench.bench.stats.pairs import FLOOR, Measure, pair_losses, pair_scores
from l2obench.bench.stats.proportions import probability_of_improvement
from l2obench.bench.stats.signed_rank import signed_ranks
from l2obench.bench.stats.significance import holm

Outcome = Literal["better", "worse", "no difference", "mixed", "too few seeds"]
OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "mixed", "no difference", "too few seeds")

ENOUGH = 10
"""Seeds from which the typical ratio's interval holds on real trajectories. With 5, no p-value is below 0.0625."""

UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class PairedComparison:
    """One optimizer's final losses, or held-out scores, against another's on the same seeds."""

    seeds: int
    """Pairs."""
    measure: Measure
    """`difference` for scores, and where a loss is negative: then `means` is NaN."""
    typical: Interval
    """Typical ratio or difference, first to second."""
    p_value: float
    """Of Wilcoxon's signed-rank test. At most 0.05 if and only if the interval of `typical` excludes 1 (or 0)."""
    win_rate: Interval
    """Share of seeds on which the first is better, ties a half."""
    means: Interval
    """Ratio of mean losses, or mean difference of scores."""
    higher_is_better: bool = False
    """True of scores, such as an accuracy."""

    @property
    def same(self) -> float:
        """The value of `typical` and of `means` that stands for no difference."""
        return 1.0 if self.measure == "ratio" else 0.0

    def side(self, interval: Interval) -> Literal["better", "worse", ""]:
        """Say on which side of no difference a whole interval lies; empty where it lies on both.

        Args:
            interval: that of `typical` or of `means`.
        """
        if interval.low > self.same or interval.high < self.same:
            return "better" if (interval.low > self.same) == self.higher_is_better else "worse"
        return ""


@dataclass(frozen=True)
class Verdict:
    """A comparison, and what it says among all comparisons that it was made with."""

    outcome: Outcome
    comparison: PairedComparison
    p_value: float
    """Corrected by Holm's method for the number of comparisons; NaN where there are too few seeds."""

    @property
    def sentence(self) -> str:
        """What was found, in words; the first optimizer is "it"."""
        found = self.comparison
        if self.outcome == "too few seeds":
            return f"Too few seeds for a verdict: {found.seeds}, and {ENOUGH} are needed."
        typical = f"typical {found.measure} {_interval(found.typical)}"
        name = "ratio of means" if found.measure == "ratio" else "mean difference"
        means = "" if np.isnan(found.means.estimate) else f", {name} {_interval(found.means)}"
        narrow = means and found.measure == "ratio" and found.seeds < FEW
        few = f" (the interval of the means is too narrow under {FEW} seeds)" if narrow else ""
        if self.outcome == "mixed":
            ends = ("higher" if end.estimate > found.same else "lower" for end in (found.typical, found.means))
            return (
                "Mixed: it ends {} on the typical function, {} in the mean: ".format(*ends) + f"{typical}{means}{few}."
            )
        good, bad = ("higher", "lower") if found.higher_is_better else ("lower", "higher")
        wins = f", {good} on {found.win_rate.estimate:.0%} of {found.seeds} seeds"
        what = {"better": f"It ends {good}", "worse": f"It ends {bad}"}.get(self.outcome, "No difference was shown")
        return f"{what}: {typical}{wins}{means}{few}."


def compare_losses(losses: ArrayLike, baseline: ArrayLike, floor: float = FLOOR) -> PairedComparison:
    """Hold one optimizer's final losses against another's on the same seeds.

    Args:
        losses: `[seeds]`; infinite or NaN for a failure.
        baseline: those of the other optimizer on the same seeds, `[seeds]`.
        floor: the task's: losses at or below it count as the floor.

    Returns:
        The comparison; without a seed its intervals are NaN and its p-value is 1.

    Raises:
        ValueError: the sides differ in shape, or the floor is negative.

    Example:
        >>> found = compare_losses([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
        >>> round(found.typical.estimate, 6), round(found.p_value, 6)
        (0.5, 0.03125)
    """
    pairs = pair_losses(losses, baseline, floor)
    count = pairs.contrasts.size
    if not count:
        return PairedComparison(0, pairs.measure, UNKNOWN, 1.0, UNKNOWN, UNKNOWN)
    ranked = signed_ranks(pairs.contrasts)
    ratio = pairs.measure == "ratio"
    return PairedComparison(
        count,
        pairs.measure,
        _as_ratio(ranked.typical) if ratio else ranked.typical,
        ranked.p_value,
        probability_of_improvement(pairs.contrasts, np.zeros(count)),
        mean_ratio(pairs.first, pairs.second) if ratio else UNKNOWN,
    )


def compare_scores(scores: ArrayLike, baseline: ArrayLike, grid: float = 0.0) -> PairedComparison:
    """Hold one optimizer's scores, of which higher is better, against another's on the same seeds.

    The typical difference is the Hodges–Lehmann estimate of the paired differences, with Wilcoxon's interval.

    Args:
        scores: `[seeds]`; −∞ or NaN for a failure.
        baseline: those of the other optimizer on the same seeds, `[seeds]`.
        grid: as for `pair_scores`.

    Returns:
        The comparison; without a seed its intervals are NaN and its p-value is 1.

    Raises:
        ValueError: the sides differ in shape.

    Example:
        >>> found = compare_scores([0.9, 0.8, 0.7, 0.9, 0.8, 0.95], [0.8, 0.7, 0.6, 0.8, 0.7, 0.85], 2.0**-20)
        >>> found.higher_is_better, round(found.typical.estimate, 4), found.win_rate.estimate
        (True, 0.1, 1.0)
    """
    pairs = pair_scores(scores, baseline, grid)
    count = pairs.contrasts.size
    if not count:
        return PairedComparison(0, "difference", UNKNOWN, 1.0, UNKNOWN, UNKNOWN, higher_is_better=True)
    ranked = signed_ranks(pairs.contrasts)
    won = probability_of_improvement(-pairs.contrasts, np.zeros(count))
    means = mean_difference(pairs.contrasts)
    return PairedComparison(count, "difference", ranked.typical, ranked.p_value, won, means, higher_is_better=True)


def decide(comparisons: Sequence[PairedComparison]) -> list[Verdict]:
    """The verdict of each comparison, in the order given; together they are wrong at most once in twenty runs.

    p-values are corrected by Holm's method for all comparisons with enough seeds. A comparison is better or worse where
    its corrected p-value is at most 0.05, and mixed where the whole interval of the means then lies on the other side
    of no difference.

    Args:
        comparisons: all that are made together, such as those of one table.

    Source: Holm 1979.
    """
    enough = [item.seeds >= ENOUGH for item in comparisons]
    raw = [item.p_value if full else np.nan for item, full in zip(comparisons, enough, strict=True)]
    corrected = [float(value) for value in holm(raw)]
    return [Verdict(_outcome(item, p), item, p) for item, p in zip(comparisons, corrected, strict=True)]


def verdict(losses: ArrayLike, baseline: ArrayLike, floor: float = FLOOR) -> Verdict:
    """The verdict of a single comparison.

    Args:
        losses: as for `compare_losses`.
        baseline: as for `compare_losses`.
        floor: as for `compare_losses`.

    Example:
        >>> verdict([1.0] * 12, [2.0] * 12).outcome
        'better'
    """
    return decide([compare_losses(losses, baseline, floor)])[0]


def _outcome(found: PairedComparison, p_value: float) -> Outcome:
    if np.isnan(p_value):
        return "too few seeds"
    if p_value > 1 - CONFIDENCE:
        return "no difference"
    typical, means = found.side(found.typical), found.side(found.means)
    # At this p-value the typical interval lies on one side.
    return "mixed" if means not in ("", typical) else typical or "no difference"


def _as_ratio(logarithms: Interval) -> Interval:
    """The interval of ratios: an end beside 0 stays beside 1."""
    with np.errstate(over="ignore"):
        estimate, low, high = (float(np.exp(end)) for end in (logarithms.estimate, logarithms.low, logarithms.high))
    low = max(low, float(np.nextafter(1, 2))) if logarithms.low > 0 else low
    high = min(high, float(np.nextafter(1, 0))) if logarithms.high < 0 else high
    return Interval(estimate, low, high)


def _interval(found: Interval) -> str:
    return f"{found.estimate:.3g} ({found.low:.3g}–{found.high:.3g})"
