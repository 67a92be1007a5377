"""Statistics of the comparison, by scipy: every function pure, seeded, and blind to what other optimizers ran."""

from l2obench.bench.stats.intervals import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Interval,
    bootstrap,
    bootstrap_mean,
    interquartile_mean,
    median,
    ratio_of_means,
)
from l2obench.bench.stats.pairs import FLOOR, SCORE_GRID
from l2obench.bench.stats.proportions import (
    Proportions,
    mean_over_tasks,
    performance_profile,
    probability_of_improvement,
    wilson,
    wins,
)
from l2obench.bench.stats.reaching import relative_cost, smooth, speed_up, steps_to_seconds, steps_to_target
from l2obench.bench.stats.significance import holm
from l2obench.bench.stats.targets import REFERENCE, Target, TargetError, stored_targets
from l2obench.bench.stats.verdict import (
    OUTCOMES,
    Outcome,
    PairedComparison,
    Verdict,
    compare_losses,
    compare_scores,
    decide,
    verdict,
)

__all__ = [
    "CONFIDENCE",
    "FLOOR",
    "OUTCOMES",
    "REFERENCE",
    "RESAMPLES",
    "SCORE_GRID",
    "SEED",
    "Interval",
    "Outcome",
    "PairedComparison",
    "Proportions",
    "Target",
    "TargetError",
    "Verdict",
    "bootstrap",
    "bootstrap_mean",
    "compare_losses",
    "compare_scores",
    "decide",
    "holm",
    "interquartile_mean",
    "mean_over_tasks",
    "median",
    "performance_profile",
    "probability_of_improvement",
    "ratio_of_means",
    "relative_cost",
    "smooth",
    "speed_up",
    "steps_to_seconds",
    "steps_to_target",
    "stored_targets",
    "verdict",
    "wilson",
    "wins",
]
