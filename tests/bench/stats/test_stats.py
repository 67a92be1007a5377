"""Statistics against closed forms and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.stats import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    bootstrap,
    holm,
    interquartile_mean,
    median,
    ratio_of_means,
    steps_to_target,
)


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(values.mean(axis))


@given(values=st.lists(st.floats(-100, 100), min_size=4, max_size=40))
def test_interquartile_mean_is_scipys_trimmed_mean(values: list[float]) -> None:
    assert float(interquartile_mean(values)) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)


def test_interquartile_mean_with_failures() -> None:
    assert float(interquartile_mean([1, 2, 3, np.inf])) == 2.5
    assert float(interquartile_mean([1, 2, np.inf, np.inf])) == np.inf
    assert float(interquartile_mean([7.0])) == 7


def test_bootstrap_is_repeatable_and_near_the_normal_interval() -> None:
    sample = np.random.default_rng(0).normal(10, 2, 100)
    first, second = bootstrap(mean, sample), bootstrap(mean, sample)
    assert first == second
    half = 1.96 * sample.std(ddof=1) / 10
    assert first.low == pytest.approx(sample.mean() - half, abs=0.08)
    assert first.high == pytest.approx(sample.mean() + half, abs=0.08)


@pytest.mark.parametrize("seeds", [2, 7, 100, 1200])
def test_bootstrap_has_the_resamples_of_scipy(seeds) -> None:
    """To the last bit, whether the resamples are kept for the next sample (100 seeds) or drawn again (1,200)."""
    random = np.random.default_rng(seeds)
    samples = random.lognormal(size=(2, seeds))
    for statistic, arrays in ((mean, samples[:1]), (lambda a, b, axis: a.mean(axis) / b.mean(axis), samples)):
        theirs = stats.bootstrap(
            tuple(arrays),
            statistic,
            paired=len(arrays) > 1,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=100,
            method="percentile",
            rng=np.random.default_rng(SEED),
        )
        tails = np.quantile(
            theirs.bootstrap_distribution, [(1 - CONFIDENCE) / 2, 1 - (1 - CONFIDENCE) / 2], method="nearest"
        )
        found = bootstrap(statistic, *arrays)
        assert [found.low, found.high] == tails.tolist()


def test_pairing_narrows_the_interval_of_a_ratio() -> None:
    """Where both losses share the seed's difficulty, their ratio is known far better than either mean."""
    random = np.random.default_rng(1)
    difficulty = random.lognormal(0, 1, 50)
    paired = ratio_of_means(0.5 * difficulty, difficulty)
    assert paired.estimate == pytest.approx(0.5)
    assert paired.high - paired.low < 1e-9
    unpaired = ratio_of_means(0.5 * random.permutation(difficulty), difficulty)
    assert unpaired.high - unpaired.low > 0.1


def test_a_failure_makes_the_ratio_infinite_not_smaller() -> None:
    found = ratio_of_means([0.1, np.inf, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0])
    assert found.estimate == np.inf
    assert found.high == np.inf


def test_one_seed_says_nothing() -> None:
    found = ratio_of_means([1.0], [2.0])
    assert (found.estimate, found.low, found.high) == (0.5, -np.inf, np.inf)


@pytest.mark.slow
def test_the_intervals_cover_what_they_claim() -> None:
    """Nominal 95 % intervals of the ratio of means, at 20 seeds, cover the true ratio 93 to 97 times in a hundred."""
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        difficulty = random.normal(10, 1, 100)
        found = ratio_of_means(0.8 * difficulty + random.normal(0, 1, 100), difficulty + random.normal(0, 1, 100))
        hits += found.low <= 0.8 <= found.high
    assert 930 <= hits <= 970


def test_median_lies_between_order_statistics() -> None:
    """Of 20 values, the 6th and the 15th hold the median with 1 - 2 P(Binomial(20, ½) ≤ 5) = 95.9 %."""
    found = median(np.random.default_rng(0).permutation(20) + 1.0)
    assert (found.estimate, found.low, found.high) == (10, 6, 15)


def test_median_with_seeds_that_never_arrive() -> None:
    assert median([1.0, 2.0, np.inf, np.inf]).estimate == 2
    assert median([1.0, np.inf, np.inf]).estimate == np.inf
    found = median([3.0] * 12 + [np.inf] * 8)
    assert (found.estimate, found.low, found.high) == (3, 3, np.inf)


def test_median_of_too_little() -> None:
    assert median([1.0, 2.0]) == type(median([1.0]))(1.0, -np.inf, np.inf)
    assert np.isnan(median([]).estimate)
    assert np.isnan(median([1.0, np.nan]).low)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [20, 100, 500])
def test_the_intervals_of_medians_cover_what_they_claim(seeds: int) -> None:
    random = np.random.default_rng(3)
    intervals = [median(random.lognormal(0, 2, seeds)) for _ in range(2000)]
    assert 0.93 <= np.mean([found.low <= 1 <= found.high for found in intervals]) <= 0.975


def test_steps_to_target() -> None:
    losses = [[4.0, 3.0, 2.0, 1.0], [4.0, 4.0, 4.0, 4.0], [1.0, 9.0, 9.0, 9.0]]
    assert steps_to_target(losses, 2.0).tolist() == [2, np.inf, 0]
    assert steps_to_target(losses, 2.0, window=2).tolist() == [3, np.inf, np.inf]
    assert steps_to_target([[np.inf, np.inf]], 1.0).tolist() == [np.inf]


def test_holm_adjusts_as_in_his_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([np.nan, 0.02])[1] == pytest.approx(0.02)
    assert np.isnan(holm([np.nan, 0.02])[0])
