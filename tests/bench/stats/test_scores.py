"""Verdicts on scores, of which higher is better: known answers, and what exchanging and raising do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.stats.mean_ratio import mean_difference
from l2obench.bench.stats.pairs import SCORE_GRID, pair_scores
from l2obench.bench.stats.verdict import compare_scores, decide

INF, NAN = float("inf"), float("nan")
MIRRORED = {"better": "worse", "worse": "better"}
accuracy = st.integers(0, 50).map(lambda right: right / 50)
pairs = st.lists(st.tuples(accuracy, accuracy), min_size=1, max_size=40)


def outcome(first, second, grid=SCORE_GRID) -> str:
    return decide([compare_scores(first, second, grid)])[0].outcome


def test_equal_differences_tie_although_they_are_rounded() -> None:
    accuracies = np.float32([0.9, 0.7, 0.3]), np.float32([0.8, 0.6, 0.2])
    assert len(set((accuracies[0] - accuracies[1]).tolist())) > 1
    assert len(set(pair_scores(*accuracies, SCORE_GRID).contrasts.tolist())) == 1


def test_failures_are_worse_than_any_score_and_tie_with_each_other() -> None:
    assert pair_scores([-INF, 0.5, NAN], [0.5, -INF, NAN]).contrasts.tolist() == [-INF, INF, 0.0]


def test_the_typical_difference_by_hand() -> None:
    found = compare_scores([0.5, 0.6, 0.9], [0.4, 0.4, 0.3])
    # Differences .1, .2, .6: Walsh averages .1, .15, .2, .35, .4, .6.
    assert found.typical.estimate == pytest.approx(0.275)
    assert found.win_rate.estimate == 1
    assert found.means.estimate == pytest.approx(0.3)


def test_words() -> None:
    rising = np.linspace(0.001, 0.02, 20)
    better, worse = (decide([compare_scores(0.8 + sign * rising, np.full(20, 0.8))])[0] for sign in (1, -1))
    assert better.sentence.startswith("It ends higher: typical difference 0.0105 (")
    assert ", higher on 100% of 20 seeds, mean difference 0.0105 (" in better.sentence
    assert worse.sentence.startswith("It ends lower: typical difference -0.0105 (")


def test_where_the_typical_seed_and_the_mean_point_apart_the_verdict_is_mixed() -> None:
    """On nine in ten seeds a point is won; on the tenth, all is lost."""
    base = np.full(400, 0.9)
    head = np.where(np.arange(400) % 10 == 0, 0.0, 0.91)
    found = decide([compare_scores(head, base)])[0]
    assert found.outcome == "mixed"
    assert found.sentence.startswith("Mixed: it ends higher on the typical function, lower in the mean")


@settings(deadline=None)
@given(pairs)
def test_exchanged_sides_give_the_opposite_verdict(both: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*both, strict=True))
    forth, back = (compare_scores(*sides, SCORE_GRID) for sides in ((first, second), (second, first)))
    assert outcome(second, first) == MIRRORED.get(outcome(first, second), outcome(first, second))
    assert forth.p_value == back.p_value
    assert forth.typical.estimate == -back.typical.estimate
    assert forth.typical.low == -back.typical.high
    assert forth.means.estimate == pytest.approx(-back.means.estimate)
    assert forth.win_rate.estimate + back.win_rate.estimate == pytest.approx(1)


@settings(deadline=None)
@given(pairs, st.data())
def test_a_score_that_rises_never_makes_its_optimizer_worse(both: list[tuple[float, float]], data) -> None:
    first, second = map(list, zip(*both, strict=True))
    place = data.draw(st.integers(0, len(first) - 1))
    risen = first.copy()
    risen[place] = max(first[place], data.draw(accuracy))
    before, after = compare_scores(first, second, SCORE_GRID), compare_scores(risen, second, SCORE_GRID)
    assert after.typical.estimate >= before.typical.estimate
    assert after.typical.low >= before.typical.low
    assert after.win_rate.estimate >= before.win_rate.estimate


def test_the_mean_difference_has_students_interval() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 25)
    found = mean_difference(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert mean_difference(np.array([1.0, INF])).low == INF
    assert np.isnan(mean_difference(np.array([-INF, INF])).estimate)
    assert mean_difference(np.array([0.5])).high == INF


def test_sides_must_be_paired() -> None:
    with pytest.raises(ValueError, match="paired samples of scores"):
        compare_scores([0.1, 0.2], [0.1])
    assert outcome([], []) == "too few seeds"
