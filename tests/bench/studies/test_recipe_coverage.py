"""The committed rows on the coverage of a recipe's interval: that they hold, and that the study gives them again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.studies.recipe_coverage import SEEDS, SPREADS, TAILS, TRAININGS, measure_setting, simulate_logs

ROWS = Path(__file__).resolve().parents[3] / "docs" / "recipe_coverage.csv"


def test_the_committed_rows_hold_what_the_protocol_says() -> None:
    rows = pd.read_csv(ROWS)
    assert len(rows) == len(SEEDS) * len(SPREADS) * len(TAILS) * len(TRAININGS)
    enough = rows[rows["trainings"] >= 5]
    assert (enough["recipe_covers"] >= 0.93).all()
    assert (enough["recipe_differs"] <= 0.07).all()
    three = rows[rows["trainings"] == 3]
    assert (three["recipe_covers"] >= 0.91).all()
    apart = rows[rows["between_trainings"] == max(SPREADS)]
    assert (apart["one_training_differs"] > 0.45).all(), "a checkpoint's claim is none about its recipe"


def test_a_setting_gives_its_committed_row_again() -> None:
    rows = pd.read_csv(ROWS).set_index(["seed_effects", "between_trainings", "trainings", "seeds"])
    found = measure_setting(3, 20, 0.75, "normal", 1000)
    committed = rows.loc[("normal", 0.75, 3, 20)]
    for name in ("recipe_covers", "recipe_differs", "one_training_differs"):
        assert found[name] == pytest.approx(committed[name], abs=2e-3)


@pytest.mark.parametrize("tail", TAILS)
def test_simulated_effects_have_the_spreads_that_are_stated(tail: str) -> None:
    logs = simulate_logs(np.random.default_rng(0), 400, 2000, 0.75, tail)
    assert logs.mean(1).std() == pytest.approx(0.75, rel=0.1)
    assert logs.mean(0).std() == pytest.approx(1.0, rel=0.1)
    assert (logs - logs.mean(0) - logs.mean(1, keepdims=True)).std() == pytest.approx(0.5, rel=0.02)
