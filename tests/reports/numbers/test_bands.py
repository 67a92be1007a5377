"""Bands of interquartile means: those of resamples that are sorted one by one, whatever the losses are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from l2obench.bench.stats import SEED, interquartile_mean
from l2obench.reports.numbers.bands import RESAMPLES, band


def sorted_band(losses):
    """The definition: draw seeds with replacement, take the interquartile mean, and the quantiles of that."""
    seeds = len(losses)
    drawn = np.random.default_rng(SEED).integers(seeds, size=(RESAMPLES, seeds))
    means = np.stack([interquartile_mean(losses[places], axis=0) for places in drawn])
    return np.quantile(means, [0.025, 0.975], axis=0)


losses = st.integers(1, 40).flatmap(
    lambda seeds: arrays(np.float64, (seeds, 3), elements=st.floats(-1e6, 1e6, allow_subnormal=False))
)


@given(losses)
def test_a_band_is_that_of_sorted_resamples(values):
    low, high = sorted_band(values)
    found = band(values)
    scale = np.abs(values).max() + 1e-300
    assert found[0] == pytest.approx(low, rel=1e-9, abs=1e-9 * scale)
    assert found[1] == pytest.approx(high, rel=1e-9, abs=1e-9 * scale)


def test_more_seeds_than_a_byte_can_count_are_counted():
    values = np.random.default_rng(0).lognormal(size=(300, 4))
    low, high = sorted_band(values)
    assert band(values)[0] == pytest.approx(low)
    assert band(values)[1] == pytest.approx(high)


def test_an_infinite_seed_leaves_other_points_alone():
    values = np.random.default_rng(1).lognormal(size=(12, 3))
    values[:5, 1] = np.inf
    with np.errstate(invalid="ignore"):  # a quantile between two infinite means
        low, high = band(values)
    assert not np.isfinite(high[1])
    assert np.isfinite([low[0], high[0], low[2], high[2]]).all()
    alone = band(values[:, [0, 2]])
    assert (low[[0, 2]].tolist(), high[[0, 2]].tolist()) == (alone[0].tolist(), alone[1].tolist())


def test_a_band_is_seeded_and_covers_the_spread():
    values = np.random.default_rng(0).lognormal(size=(20, 3))
    low, high = band(values)
    assert np.all(values.min(0) < low)
    assert np.all(low < high)
    assert np.all(high < values.max(0))
    assert np.array_equal(band(values)[0], low)


def test_a_band_of_equal_seeds_has_no_width():
    low, high = band(np.full((5, 2), 3.0))
    assert low.tolist() == high.tolist() == [3.0, 3.0]
