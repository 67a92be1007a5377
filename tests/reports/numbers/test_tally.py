"""Comparisons counted over tasks: quantiles of ratios treat both sides alike."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.reports.numbers.tally import quantile_of_ratios

RATIOS = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=9)


@given(RATIOS, st.sampled_from([0.25, 0.5, 0.75]))
def test_the_quantile_of_inverted_ratios_is_the_inverse(ratios: list[float], at: float) -> None:
    found = quantile_of_ratios(pd.Series(ratios), at)
    mirrored = quantile_of_ratios(1 / pd.Series(ratios), 1 - at)
    assert mirrored == pytest.approx(1 / found, rel=1e-9)


@given(RATIOS)
def test_an_odd_number_of_ratios_has_its_median(ratios: list[float]) -> None:
    odd = pd.Series(ratios[: len(ratios) - 1 + len(ratios) % 2])
    assert quantile_of_ratios(odd, 0.5) == odd.median() or odd.empty


def test_failures_stay_infinite_and_the_middle_of_nothing_and_everything_is_unknown() -> None:
    assert quantile_of_ratios(pd.Series([0.5, np.inf]), 0.5) == np.inf
    assert quantile_of_ratios(pd.Series([0.5, 0.0]), 0.5) == 0
    assert np.isnan(quantile_of_ratios(pd.Series([0.0, np.inf]), 0.5))
    assert np.isnan(quantile_of_ratios(pd.Series([], dtype=float), 0.5))
