"""Coverage of the verdict's interval on committed trajectories: the same numbers on every machine."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.bench.studies.coverage import (
    measure_coverage,
    measure_false_verdicts,
    read_populations,
)

ROWS = Path(__file__).resolve().parents[3] / "docs" / "coverage.csv"
DRAWS = 400
NOISE = 2 * (0.95 * 0.05 / DRAWS) ** 0.5
"""Two standard errors of a share of 95 % among the draws."""


@pytest.mark.parametrize("population", read_populations(), ids=lambda item: f"{item.task}-{item.first}")
@pytest.mark.parametrize("count", [10, 20])
def test_the_interval_of_the_typical_ratio_holds_on_real_trajectories(population, count):
    assert measure_coverage(population, count, DRAWS) >= 0.95 - NOISE
    assert measure_false_verdicts(population, count, DRAWS) <= 0.05 + NOISE


def test_the_committed_rows_hold_what_the_protocol_says():
    rows = pd.read_csv(ROWS)
    assert {10, 20, 100, 500} == {*rows["seeds"]}
    assert (rows["draws"] >= 2000).all()
    assert rows["task"].nunique() == 4
    assert (rows["typical_covers"] >= 0.93).all()
    noise = 2 * (0.95 * 0.05 / rows["draws"].min()) ** 0.5
    assert (rows[["copies_differ", "exchanged_differ"]] <= 0.05 + noise).all().all()
