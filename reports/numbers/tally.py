"""Comparisons counted over tasks: on how many one optimizer ends lower, the verdicts, and the median typical ratio."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from l2obench.bench.stats import OUTCOMES

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Tally:
    """What the comparisons of one optimizer say over all of its tasks. Better is `lower`, of an accuracy `higher`."""

    tasks: int
    """Tasks with a comparison."""
    lower: int
    """Tasks whose typical value, ratio or difference, is on the side of the first optimizer, whatever the verdict."""
    equal: int
    higher: int
    verdicts: dict[str, int]
    """Tasks of each verdict, corrected for the number of comparisons; all verdicts are there."""
    ratios: int
    """Tasks that have a typical ratio. One with a negative loss, or a score, has a difference in its place."""
    ratio: float
    """Median over tasks of their typical ratios, as `quantile_of_ratios` has it. Failed seeds are infinite losses."""
    ratio_q25: float
    ratio_q75: float
    families: int
    """Families of tasks: tasks of one name."""
    families_lower: int
    """Families in which more tasks are lower than higher."""
    sign_p: float
    """Exact two-sided sign test over tasks, equal ones left out. It takes tasks for independent, which relatives are
    not."""

    @property
    def decided(self) -> int:
        """Tasks with enough seeds for a verdict."""
        return self.tasks - self.verdicts["too few seeds"]


def quantile_of_ratios(ratios: "pd.Series[float]", at: float) -> float:
    """A quantile of ratios that treats both sides alike: that of the inverted ratios is its inverse.

    Between two ratios it is their geometric mean. NaN where there are none, or where it lies between 0 and infinity.

    Args:
        ratios: 0 and infinity may be among them.
        at: from 0 to 1.

    Example:
        >>> quantile_of_ratios(pd.Series([0.5, 2.0, 8.0, 4.0]), 0.5)
        2.8284271247461903
    """
    if ratios.empty:
        return np.nan
    ends = [float(np.quantile(ratios, at, method=method)) for method in ("lower", "higher")]
    return ends[0] if ends[0] == ends[1] else math.sqrt(ends[0]) * math.sqrt(ends[1])


def tally(comparisons: pd.DataFrame) -> Tally | None:
    """Count comparisons over tasks; None where there are none.

    Args:
        comparisons: one row a task: `family`, `verdict`, `measure`, `typical` (the ratio, or the difference) and
            `higher_is_better`. Rows that could not be compared are left out.

    Example:
        >>> rows = pd.DataFrame({"family": ["a", "a", "b"], "verdict": "better", "measure": "ratio"})
        >>> found = tally(rows.assign(typical=[0.5, 2.0, 0.1], higher_is_better=False))
        >>> found.lower, found.ratio, found.families_lower
        (2, 0.5, 1)
    """
    verdicts = comparisons["verdict"].astype(str)
    known = comparisons[~verdicts.str.startswith((NOT_COMPARABLE, "none"))]
    if known.empty:
        return None
    sides = pd.Series([side_of(*row) for row in known[SIDES].itertuples(index=False)], index=known.index)
    ratios = known.loc[known["measure"].eq("ratio"), "typical"].astype(float).dropna()
    q25, middle, q75 = (quantile_of_ratios(ratios, at) for at in (0.25, 0.5, 0.75))
    lower, higher = int(sides.eq(-1).sum()), int(sides.eq(1).sum())
    by_family = sides.groupby(known["family"]).sum()
    return Tally(
        tasks=len(known),
        lower=lower,
        equal=len(known) - lower - higher,
        higher=higher,
        verdicts={outcome: int(known["verdict"].eq(outcome).sum()) for outcome in OUTCOMES},
        ratios=len(ratios),
        ratio=middle,
        ratio_q25=q25,
        ratio_q75=q75,
        families=len(by_family),
        families_lower=int(by_family.lt(0).sum()),
        sign_p=float(binomtest(lower, lower + higher).pvalue) if lower + higher else 1.0,
    )


SIDES = ["measure", "typical", "higher_is_better"]


def side_of(measure: str, typical: float, higher_is_better: bool) -> int:
    """Give −1 where the first optimizer is the better one, 1 where it is the worse one, 0 where they are equal.

    Args:
        measure: `ratio` or `difference`.
        typical: of this measure, first to second.
        higher_is_better: as of an accuracy.

    Example:
        >>> side_of("ratio", 0.5, False), side_of("difference", 0.1, True), side_of("ratio", 1.0, False)
        (-1, -1, 0)
    """
    away = float(typical) - (1.0 if measure == "ratio" else 0.0)
    if np.isnan(away) or away == 0:
        return 0
    return -1 if (away < 0) != bool(higher_is_better) else 1
