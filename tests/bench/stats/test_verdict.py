"""Verdicts: where losses have no ratio, what exchanging, scaling and worsening do, and what the sentences say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.stats.mean_ratio import mean_ratio
from l2obench.bench.stats.pairs import FLOOR, pair_losses
from l2obench.bench.stats.signed_rank import hodges_lehmann, skewness_factor
from l2obench.bench.stats.verdict import ENOUGH, compare_losses, decide, verdict
from l2obench.tasks.base import Task

INF, NAN = float("inf"), float("nan")
RANDOM = np.random.default_rng(7)
DIFFICULTY = RANDOM.lognormal(0, 2, 200)

loss = st.one_of(st.integers(1, 40).map(lambda value: value / 8), st.just(0.0), st.just(INF), st.just(FLOOR / 2))
pairs = st.lists(st.tuples(loss, loss), min_size=1, max_size=40)
MIRRORED = {"better": "worse", "worse": "better"}


def test_losses_without_a_ratio_have_a_place() -> None:
    contrasts = pair_losses([0.0, 1e-13, INF, INF, 1.0, NAN, 2.0], [0.0, 0.0, INF, 1.0, INF, 1.0, 1.0], 1e-12).contrasts
    assert contrasts[:6].tolist() == [0, 0, 0, INF, -INF, INF]
    assert contrasts[6] == pytest.approx(np.log(2))


def test_a_loss_at_the_floor_is_the_floor() -> None:
    found = pair_losses([1e-30, 1e-6], [1e-6, 1e-30], 1e-9)
    assert found.contrasts.tolist() == pytest.approx([-np.log(1e3), np.log(1e3)])
    assert (compare_losses([0.0] * 20, [1e-13] * 20).typical.estimate, verdict([0.0] * 20, [1e-13] * 20).outcome) == (
        1,
        "no difference",
    )


def test_negative_losses_are_compared_by_their_differences() -> None:
    base = RANDOM.normal(size=30)
    found = compare_losses(base - 0.5, base)
    assert (found.measure, found.same) == ("difference", 0)
    assert found.typical.estimate == pytest.approx(-0.5)
    assert np.isnan(found.means.estimate)
    assert verdict(base - 0.5, base).outcome == "better"
    assert verdict(base, base - 0.5).outcome == "worse"
    assert pair_losses([-1e-13, 2.0], [1.0, 1.0], 1e-12).measure == "ratio"  # rounding around zero, not a sign


def test_two_that_failed_everywhere_do_not_differ() -> None:
    found = verdict([INF] * 20, [INF] * 20)
    assert found.outcome == "no difference"
    assert found.comparison.typical.estimate == 1
    assert np.isnan(found.comparison.means.estimate)
    assert verdict([1.0] * 20, [INF] * 20).outcome == "better"


def test_tasks_without_a_floor_of_their_own_have_the_default() -> None:
    assert Task.floor == FLOOR


@pytest.mark.parametrize("floor", [-1.0, NAN, INF])
def test_a_floor_is_a_number(floor: float) -> None:
    with pytest.raises(ValueError, match="floor must be a finite number of 0 or more"):
        pair_losses([1.0], [1.0], floor)


def test_sides_must_be_paired() -> None:
    with pytest.raises(ValueError, match="paired samples"):
        compare_losses([1.0, 2.0], [1.0])


@settings(deadline=None)
@given(pairs)
def test_exchanged_sides_give_the_opposite_verdict(both: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*both, strict=True))
    forth, back = verdict(first, second), verdict(second, first)
    assert back.outcome == MIRRORED.get(forth.outcome, forth.outcome)
    assert forth.comparison.p_value == back.comparison.p_value
    assert forth.comparison.win_rate.estimate + back.comparison.win_rate.estimate == pytest.approx(1)
    for name in ("typical", "means"):
        one, other = getattr(forth.comparison, name), getattr(back.comparison, name)
        if np.isfinite(one.estimate) and one.estimate > 0:
            assert one.estimate * other.estimate == pytest.approx(1, rel=1e-6)


@settings(deadline=None)
@given(pairs, st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**30]))
def test_units_do_not_matter(both: list[tuple[float, float]], unit: float) -> None:
    first, second = (np.array(side) for side in zip(*both, strict=True))
    here, there = verdict(first, second, FLOOR), verdict(first * unit, second * unit, FLOOR * unit)
    assert there.outcome == here.outcome
    assert there.comparison.p_value == pytest.approx(here.comparison.p_value)
    assert there.comparison.typical.estimate == pytest.approx(here.comparison.typical.estimate, rel=1e-8)
    assert there.comparison.means.low == pytest.approx(here.comparison.means.low, rel=1e-6, nan_ok=True)


@settings(deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(both: list[tuple[float, float]], random: object) -> None:
    shuffled = both.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (compare_losses(*map(list, zip(*order, strict=True))) for order in (both, shuffled))
    assert (one.typical, one.p_value, one.win_rate) == (other.typical, other.p_value, other.win_rate)
    assert one.means.estimate == pytest.approx(other.means.estimate, nan_ok=True)


@settings(deadline=None)
@given(pairs, st.data())
def test_a_loss_that_rises_never_makes_its_optimizer_better(
    both: list[tuple[float, float]], data: st.DataObject
) -> None:
    first, second = map(list, zip(*both, strict=True))
    place = data.draw(st.integers(0, len(first) - 1))
    risen = first.copy()
    risen[place] = max(first[place], data.draw(loss))
    before, after = compare_losses(first, second), compare_losses(risen, second)
    assert after.typical.estimate >= before.typical.estimate
    assert after.typical.high >= before.typical.high
    assert after.win_rate.estimate <= before.win_rate.estimate
    if np.isfinite([before.means.estimate, after.means.estimate]).all():
        assert after.means.estimate >= before.means.estimate * (1 - 1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=10, max_size=40))
def test_without_ties_the_verdict_is_scipys_widened_for_skewness(both: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=float) for side in zip(*both, strict=True))
    logs = pair_losses(first, second).contrasts
    if len(set(np.abs(logs))) < len(logs) or not logs.all():
        return
    found = compare_losses(first, second)
    factor = skewness_factor(logs, hodges_lehmann(logs))
    p_value = min(1.0, 2 * stats.norm.sf(stats.norm.isf(stats.wilcoxon(logs, method="exact").pvalue / 2) / factor))
    assert found.p_value == pytest.approx(p_value, rel=1e-9)
    assert (found.typical.low > 1 or found.typical.high < 1) == (p_value <= 1 - 0.95)


def test_where_the_typical_function_and_the_mean_point_apart_both_are_said() -> None:
    """Nine in ten functions are solved a thousand times better; the hard tenth, which makes the mean, is worse."""
    hard = np.arange(400) % 10 == 0
    base = np.where(hard, RANDOM.uniform(8, 12, 400), RANDOM.uniform(1e-4, 2e-4, 400))
    found = verdict(base * np.where(hard, 1.5, 1e-3), base)
    assert found.outcome == "mixed"
    assert found.comparison.typical.high < 1 < found.comparison.means.low
    assert found.sentence.startswith("Mixed: it ends lower on the typical function, higher in the mean")
    assert verdict(base, base * np.where(hard, 1.5, 1e-3)).sentence.startswith("Mixed: it ends higher on the typical")


def test_fewer_than_ten_seeds_are_too_few() -> None:
    few = verdict([1.0] * (ENOUGH - 1), [2.0] * (ENOUGH - 1))
    assert few.outcome == "too few seeds"
    assert few.sentence == "Too few seeds for a verdict: 9, and 10 are needed."
    assert verdict([1.0] * ENOUGH, [2.0] * ENOUGH).outcome == "better"
    assert verdict([], []).outcome == "too few seeds"


def test_sentences_say_what_carries_the_verdict() -> None:
    found = verdict(0.5 * DIFFICULTY * RANDOM.lognormal(0, 0.1, 200), DIFFICULTY)
    assert found.sentence.startswith("It ends lower: typical ratio 0.")
    assert "lower on 100% of 200 seeds, ratio of means 0." in found.sentence
    assert "too narrow" not in found.sentence
    assert "too narrow under 100 seeds" in verdict(DIFFICULTY[:20] * 2, DIFFICULTY[:20]).sentence


def test_verdicts_are_corrected_for_their_number() -> None:
    """p = 0.04 carries a verdict alone, and none among twenty."""
    one = next(
        found
        for found in (compare_losses(RANDOM.lognormal(0.2, 0.5, 30), np.ones(30)) for _ in range(1000))
        if 0.03 < found.p_value < 0.05
    )
    equal = compare_losses(DIFFICULTY, DIFFICULTY)
    assert decide([one])[0].outcome == "worse"
    assert decide([one, *[equal] * 19])[0].outcome == "no difference"
    few = compare_losses([1.0], [2.0])
    assert decide([one, *[few] * 19])[0].outcome == "worse"  # what has no verdict does not count


def test_the_ratio_of_means_covers_a_skewed_ratio() -> None:
    """Of 200 draws of 20 seeds whose difficulties differ tenfold, 180 intervals or more hold the true ratio."""
    hits = 0
    for _ in range(200):
        difficulty = RANDOM.lognormal(0, 1, 20)
        found = mean_ratio(difficulty * RANDOM.lognormal(0, 0.5, 20), difficulty)
        hits += found.low <= np.exp(0.125) <= found.high
    assert hits >= 180


def test_the_ratio_of_means_with_failures_zeros_and_large_losses() -> None:
    two = np.array([1.0, 2.0])
    assert mean_ratio(np.array([1.0, INF]), two).low == INF
    assert mean_ratio(two, np.array([1.0, INF])).high == 0
    assert np.isnan(mean_ratio(np.array([INF, 1.0]), np.array([1.0, INF])).estimate)
    assert np.isnan(mean_ratio(np.zeros(2), two).estimate)
    found = mean_ratio(np.array([1e308, 1.5e308, 1.7e308] * 7), np.full(21, 1e308))
    assert found.estimate == pytest.approx(1.4)
    assert np.isfinite([found.low, found.high]).all()
    assert mean_ratio(np.array([1.0]), np.array([2.0])) == type(found)(0.5, 0.0, INF)
