"""Proportions, probabilities of improvement and performance profiles against closed forms; their coverage, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.stats import (
    mean_over_tasks,
    performance_profile,
    probability_of_improvement,
    relative_cost,
    wilson,
    wins,
)

INF = float("inf")


@given(successes=st.integers(0, 40), failures=st.integers(0, 40))
def test_wilson_is_scipys(successes: int, failures: int) -> None:
    if successes + failures:
        found = wilson([1.0] * successes + [0.0] * failures)
        expected = stats.binomtest(successes, successes + failures).proportion_ci(0.95, method="wilson")
        assert (float(found.low), float(found.high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def coverage(seeds: int, low: np.ndarray, high: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """How probable it is that the interval of k of `seeds` successes, k binomial, holds the truth, for each truth."""
    probabilities = stats.binom.pmf(np.arange(seeds + 1)[:, None], seeds, truths)
    return (probabilities * ((low[:, None] <= truths) & (truths <= high[:, None]))).sum(0)


@pytest.mark.parametrize("seeds", [20, 100, 500])
def test_wilson_covers_what_it_claims(seeds: int) -> None:
    """Worked out in full, nothing simulated: 95 % on average over probabilities, never below 91 %."""
    found = [wilson([1.0] * k + [0.0] * (seeds - k)) for k in range(seeds + 1)]
    low, high = (np.array([float(getattr(item, end)) for item in found]) for end in ("low", "high"))
    covered = coverage(seeds, low, high, np.linspace(0.02, 0.98, 97))
    assert 0.93 <= covered.mean() <= 0.97
    assert covered.min() > 0.91


def test_a_percentile_bootstrap_would_not() -> None:
    """The bootstrap distribution of a proportion is binomial: its quantiles are known without resampling."""
    share = np.arange(21) / 20
    low, high = (stats.binom.ppf(tail, 20, share) / 20 for tail in (0.025, 0.975))
    assert coverage(20, low, high, np.array([0.9])) == pytest.approx(0.876, abs=0.001)


def test_wins_count_ties_as_halves_and_failures_as_losses() -> None:
    assert wins([1.0, 2.0, 3.0, INF, INF, 1.0], [2.0, 2.0, 1.0, 5.0, INF, INF]).tolist() == [1, 0.5, 0, 0, 0.5, 1]


def test_probability_of_improvement_by_hand() -> None:
    found = probability_of_improvement([1.0, 1.0, 1.0, 9.0], [2.0, 2.0, 2.0, 2.0])
    expected = stats.binomtest(3, 4).proportion_ci(0.95, method="wilson")
    assert (found.estimate, found.low, found.high) == pytest.approx((0.75, expected.low, expected.high))


@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_probability_of_being_worse_is_the_rest(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    forth, back = probability_of_improvement(first, second), probability_of_improvement(second, first)
    assert forth.estimate + back.estimate == pytest.approx(1)
    assert forth.low + back.high == pytest.approx(1)


def test_mean_over_tasks_weighs_tasks_alike_and_one_task_stays_as_it_is() -> None:
    easy, hard = wilson([1.0] * 300), wilson([0.0] * 10)
    together = mean_over_tasks([easy, hard])
    assert float(together.estimate) == 0.5
    assert float(together.low) == pytest.approx(0.5 - float(1 - easy.low) / 2)
    assert float(together.high) == pytest.approx(0.5 + float(hard.high) / 2)
    alone = mean_over_tasks([easy])
    assert (float(alone.low), float(alone.high)) == pytest.approx((float(easy.low), float(easy.high)))


@pytest.mark.slow
def test_the_interval_over_tasks_covers_what_it_claims() -> None:
    """Four tasks of 20 seeds whose true shares differ: the interval of their mean holds it 93 to 97 times in 100."""
    random, shares = np.random.default_rng(5), np.array([0.3, 0.6, 0.8, 0.95])
    hits = 0
    for _ in range(2000):
        found = mean_over_tasks([wilson((random.random(20) < share).astype(float)) for share in shares])
        hits += bool(found.low <= shares.mean() <= found.high)
    assert 0.93 <= hits / 2000 <= 0.97


def test_profile_by_hand() -> None:
    ratios = relative_cost([10.0, 20.0, INF, 5.0], [10.0, 10.0, 10.0, 10.0])
    assert performance_profile(ratios, [0.4, 0.5, 1.0, 1.9, 2.0, 1e9]).estimate.tolist() == [
        0,
        0.25,
        0.5,
        0.5,
        0.75,
        0.75,
    ]


def test_profile_of_dolan_and_mores_definition() -> None:
    """Where the reference is the best on every problem, the profile is theirs: ρ(1) is the share of wins, 1 for it."""
    times = np.array([[3.0, 4.0, 8.0], [3.0, 5.0, 16.0]])
    ours = performance_profile(relative_cost(times[1], times[0]), [1.0, 1.25, 2.0]).estimate
    assert ours.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert performance_profile(relative_cost(times[0], times[0]), [1.0]).estimate.tolist() == [1]


@given(ratios=st.lists(st.one_of(st.floats(0, 100), st.just(INF)), min_size=1, max_size=30))
def test_profiles_rise_and_end_at_the_share_of_problems_solved(ratios: list[float]) -> None:
    profile = performance_profile(ratios, np.linspace(0, 100, 21))
    for values in (profile.estimate, profile.low, profile.high):
        assert (np.diff(values) >= -1e-12).all()
    assert profile.estimate[-1] == pytest.approx(np.isfinite(ratios).mean())
