"""The typical contrast: its test against all patterns of signs and against scipy, its interval against its test."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.stats.signed_rank import (
    EXACT_UP_TO,
    hodges_lehmann,
    p_greater,
    rejects_no_difference,
    signed_ranks,
    skewness_factor,
)

INF = float("inf")
# Few different values, so that pairs tie with each other and with nothing.
whole = st.one_of(st.integers(-4, 4).map(float), st.sampled_from([INF, -INF]))
real = st.integers(-(2**30), 2**30).map(lambda step: step * 2.0**-26)


def p_by_enumeration(contrasts: list[float]) -> float:
    """The share of all patterns of signs whose sum of ranks is at least the one seen."""
    ranks = stats.rankdata(np.abs(contrasts))[np.array(contrasts) != 0]
    signs = np.array([value > 0 for value in contrasts if value != 0])
    patterns = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
    return float((patterns @ ranks >= signs @ ranks - 1e-9).mean())


@settings(deadline=None)
@given(st.lists(st.one_of(whole, real), min_size=1, max_size=12))
def test_the_p_value_is_that_of_all_patterns_of_signs(contrasts: list[float]) -> None:
    assert p_greater(contrasts) == pytest.approx(p_by_enumeration(contrasts), abs=1e-12)


@settings(deadline=None)
@given(st.lists(real.filter(bool), min_size=1, max_size=60, unique_by=abs))
def test_without_ties_the_p_value_is_scipys(contrasts: list[float]) -> None:
    method = "exact" if len(contrasts) <= EXACT_UP_TO else "asymptotic"
    found = signed_ranks(contrasts, symmetric=True)
    assert found.p_value == pytest.approx(stats.wilcoxon(contrasts, method=method).pvalue, rel=1e-9)
    assert found.p_greater == pytest.approx(
        stats.wilcoxon(contrasts, alternative="greater", method=method).pvalue, rel=1e-9
    )


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9).map(float), min_size=51, max_size=90))
def test_with_ties_and_many_pairs_the_p_value_is_scipys_with_pratts_zeros(contrasts: list[float]) -> None:
    assume(any(contrasts))
    expected = stats.wilcoxon(contrasts, zero_method="pratt", alternative="greater", method="asymptotic").pvalue
    assert p_greater(contrasts) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.one_of(whole, real), min_size=1, max_size=70))
@example([0.0] * 20 + [float(k) for k in range(1, 11)])  # the interval begins at 0, and the test rejects
@example([INF] * 10)
@example([INF, -INF] * 6)
@example([0.0] * 12)
def test_the_interval_excludes_no_difference_if_and_only_if_the_test_rejects(contrasts: list[float]) -> None:
    found = signed_ranks(contrasts)
    assert (found.typical.low > 0 or found.typical.high < 0) == (found.p_value <= 1 - 0.95)
    assert found.typical.low <= found.typical.estimate <= found.typical.high


@settings(deadline=None)
@given(st.lists(real, min_size=6, max_size=20, unique=True), st.integers(-(2**28), 2**28))
def test_the_interval_holds_the_shifts_that_the_test_accepts(contrasts: list[float], step: int) -> None:
    shift = step * 2.0**-24
    shifted = np.array(contrasts) - shift
    for symmetric in (True, False):
        found = signed_ranks(contrasts, symmetric=symmetric).typical
        factor = 1.0 if symmetric else skewness_factor(contrasts, hodges_lehmann(contrasts))
        p_value = stats.norm.sf(stats.norm.isf(min(p_greater(shifted), p_greater(-shifted))) / factor)
        # An end may belong to the interval or not.
        if shift not in (found.low, found.high) and abs(p_value - 0.025) > 1e-12:
            assert (p_value > 0.025) == (found.low < shift < found.high)


@settings(deadline=None)
@given(st.lists(st.one_of(whole, real), min_size=1, max_size=70))
def test_the_fast_answer_is_that_of_the_p_value(contrasts: list[float]) -> None:
    assert rejects_no_difference(contrasts) == (signed_ranks(contrasts).p_value <= 1 - 0.95)


@settings(deadline=None)
@given(st.lists(real, min_size=2, max_size=40))
def test_the_factor_is_the_u_statistics_own_spread(contrasts: list[float]) -> None:
    """By its definition: the variance of the share of contrasts that lie beyond each one's mirror image."""
    centre = hodges_lehmann(contrasts)
    sums = np.add.outer(contrasts, contrasts)
    assume(not np.isclose(sums, 2 * centre, rtol=0, atol=1e-9).any())
    shares = (sums > 2 * centre).mean(axis=1)
    assert skewness_factor(contrasts, centre) == pytest.approx(max(1.0, np.sqrt(12 * shares.var())))


def test_symmetric_contrasts_keep_the_tests_variance() -> None:
    for count in (2, 7, 30):
        half = np.random.default_rng(count).exponential(size=count)
        contrasts = np.concatenate([half, -half])
        assert skewness_factor(contrasts, 0.0) == 1
        assert signed_ranks(contrasts) == signed_ranks(contrasts, symmetric=True)


def test_skewed_contrasts_are_covered_with_the_factor_and_not_without() -> None:
    """Cubes of an exponential variable: their signed-rank sum varies 1.09 times as much as the test assumes."""
    random = np.random.default_rng(0)
    centre = hodges_lehmann(random.exponential(size=20_000) ** 3)
    samples = random.exponential(size=(3000, 200)) ** 3 - centre
    without = np.mean([min(p_greater(sample), p_greater(-sample)) > 0.025 for sample in samples])
    with_factor = np.mean([not rejects_no_difference(sample) for sample in samples])
    noise = 2 * np.sqrt(0.95 * 0.05 / 3000)
    assert without < 0.95 - 2 * noise
    assert with_factor >= 0.95 - noise


@settings(deadline=None)
@given(st.lists(st.one_of(whole, real), min_size=1, max_size=60))
def test_exchanged_sides_mirror_everything(contrasts: list[float]) -> None:
    forth, back = signed_ranks(contrasts), signed_ranks([-value for value in contrasts])
    assert (forth.typical.estimate, forth.typical.low, forth.typical.high) == (
        -back.typical.estimate,
        -back.typical.high,
        -back.typical.low,
    )
    assert forth.p_value == back.p_value


@settings(deadline=None)
@given(st.lists(st.one_of(whole, real), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(contrasts: list[float], random: object) -> None:
    shuffled = contrasts.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert signed_ranks(contrasts) == signed_ranks(shuffled)


@given(st.lists(st.one_of(whole, real), min_size=1, max_size=30), st.data())
def test_a_pair_that_gets_worse_never_speaks_for_better(contrasts: list[float], data: st.DataObject) -> None:
    """The p-value too, unless pairs that differ are tied: there it moves on a lattice that changes with the ties."""
    place = data.draw(st.integers(0, len(contrasts) - 1))
    worse = contrasts.copy()
    worse[place] = max(worse[place], data.draw(st.one_of(whole, real)))
    before, after = signed_ranks(contrasts, symmetric=True), signed_ranks(worse, symmetric=True)
    assert after.typical.estimate >= before.typical.estimate
    if any(len({*map(abs, filter(bool, side))}) < len([*filter(bool, side)]) for side in (contrasts, worse)):
        return
    assert after.p_greater <= before.p_greater + 1e-12
    assert after.typical.low >= before.typical.low
    assert after.typical.high >= before.typical.high


@settings(deadline=None)
@given(st.lists(real, min_size=1, max_size=60))
def test_the_estimate_is_the_median_of_the_walsh_averages(contrasts: list[float]) -> None:
    averages = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(contrasts, 2)]
    assert hodges_lehmann(contrasts) == pytest.approx(np.median(averages), abs=1e-12)


def test_infinite_contrasts_rank_beyond_all_others() -> None:
    finite = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    large = signed_ranks([*finite, 900.0, -1000.0])
    failed = signed_ranks([*finite, 900.0, -INF])
    assert failed.p_value == large.p_value
    assert failed.typical.estimate == pytest.approx(large.typical.estimate, abs=1)
    assert signed_ranks([INF] * 12).typical.low == INF
    assert signed_ranks([INF, -INF]).typical.estimate == 0


def test_fewer_than_six_pairs_exclude_nothing() -> None:
    assert signed_ranks([1.0, 2.0, 3.0, 4.0, 5.0]).typical.low == -INF
    assert signed_ranks([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).typical.low == 1
    assert np.isnan(signed_ranks([]).typical.estimate)


def test_many_pairs_take_no_memory_for_their_averages() -> None:
    contrasts = np.random.default_rng(0).normal(0.1, 1, 2000)
    found = signed_ranks(contrasts, symmetric=True).typical
    rows, columns = np.triu_indices(2000)
    rank = np.searchsorted(np.sort(contrasts[rows] + contrasts[columns]) / 2, [found.low, found.estimate, found.high])
    spread = np.sqrt(2000 * 2001 * 4001 / 24)
    middle = 2000 * 2001 / 4
    assert rank == pytest.approx([middle - 1.95996 * spread, middle, middle + 1.95996 * spread], abs=25)
