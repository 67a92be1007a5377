"""The best of k trials, against all sets of k written out."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.stats.best_of import best_of, expected_trials, matched_share

LOSSES = st.lists(st.tuples(st.floats(-5, 5), st.one_of(st.floats(0, 9), st.just(math.inf))), min_size=1, max_size=6)


@given(LOSSES)
def test_all_sets_of_k_trials_written_out(trials: list[tuple[float, float]]) -> None:
    scores, losses = (np.array(values) for values in zip(*trials, strict=True))
    found = best_of(scores, losses)
    for k in range(1, len(trials) + 1):
        sets = [
            losses[min(chosen, key=lambda i: (scores[i], i))]
            for chosen in itertools.combinations(range(len(trials)), k)
        ]
        assert found.expected[k - 1] == pytest.approx(np.mean(sets))
        assert found.fails[k - 1] == pytest.approx(np.mean(np.isinf(sets)))
        expected = np.quantile(np.array(sets), (0.25, 0.5, 0.75), method="inverted_cdf")
        assert found.quartiles[:, k - 1] == pytest.approx(expected)


def test_a_trial_that_no_set_chooses_does_not_make_the_mean_infinite() -> None:
    found = best_of([1.0, 2.0], [0.5, math.inf])
    assert found.expected.tolist() == [math.inf, 0.5]
    assert found.fails.tolist() == [0.5, 0.0]


def test_the_choice_is_by_score_and_the_loss_is_anothers() -> None:
    """A trial that was lucky on the tuning seeds is chosen, and counts with what it does elsewhere."""
    assert best_of([1.0, 2.0], [9.0, 3.0]).expected.tolist() == [6.0, 9.0]


@pytest.mark.parametrize(("scores", "losses"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan], [1.0])])
def test_what_is_no_list_of_trials_is_refused(scores: list[float], losses: list[float]) -> None:
    with pytest.raises(ValueError, match="scores and losses must be"):
        best_of(scores, losses)


@given(st.integers(1, 7), st.data())
def test_the_first_match_in_all_orders_written_out(trials: int, data: st.DataObject) -> None:
    matching = data.draw(st.integers(0, trials))
    kinds = [place < matching for place in range(trials)]
    firsts = [order.index(True) + 1 if matching else math.inf for order in itertools.permutations(kinds)]
    assert expected_trials(trials, matching) == pytest.approx(np.mean(firsts))
    for tried in range(trials + 2):
        assert matched_share(trials, matching, tried) == pytest.approx(np.mean([first <= tried for first in firsts]))
