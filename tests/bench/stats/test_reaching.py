"""Time to a target, ratios to a reference and speed-ups, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.stats import relative_cost, smooth, speed_up, steps_to_seconds, steps_to_target

INF = float("inf")


def test_smoothed_losses_are_means_of_the_last_ones() -> None:
    assert smooth([[4.0, 2.0, 6.0]], 2).tolist() == [[3.0, 4.0]]


def test_every_seed_may_have_a_target_of_its_own() -> None:
    assert steps_to_target([[4.0, 3.0, 2.0], [4.0, 3.0, 2.0]], [3.0, 1.0]).tolist() == [1, INF]


def test_seconds_are_steps_at_a_pace_and_never_stays_never() -> None:
    seconds = steps_to_seconds([0.0, 10.0, INF], 0.5)
    assert seconds.tolist() == [0, 5, INF]
    assert np.isnan(steps_to_seconds([10.0], float("nan"))).all()


def test_relative_cost_where_one_side_never_arrives() -> None:
    own, reference = [2.0, INF, 2.0, INF, 0.0, 3.0], [4.0, 4.0, INF, INF, 0.0, 0.0]
    assert relative_cost(own, reference).tolist() == [0.5, INF, 0, INF, 1, INF]


@given(
    cost=st.one_of(st.floats(0.5, 1e6), st.just(INF)),
    better=st.floats(0.5, 1e6),
    reference=st.one_of(st.floats(0.5, 1e6), st.just(INF)),
)
def test_a_cheaper_rule_never_has_the_larger_ratio(cost: float, better: float, reference: float) -> None:
    better = min(cost, better)
    assert relative_cost([better], [reference])[0] <= relative_cost([cost], [reference])[0]


def test_speed_up_of_exponentials() -> None:
    """Losses e^{-2t} and e^{-t}: the slower one needs twice the steps for every loss, as far as it runs."""
    fast, slow = np.exp(-2.0 * np.arange(11))[None], np.exp(-1.0 * np.arange(31))[None]
    assert speed_up(fast * (1 + 1e-12), slow).tolist() == [2]
    assert speed_up(slow[:, :21] * (1 + 1e-12), fast).tolist() == [0.5]
    assert speed_up(fast, slow[:, :11]).tolist() == [INF]


def test_speed_up_over_itself_is_one_where_the_loss_falls() -> None:
    losses = np.array([[4.0, 3.0, 2.0, 1.0]])
    assert speed_up(losses, losses).tolist() == [1]


def test_a_rule_that_failed_is_no_faster_than_anything() -> None:
    reference = np.array([[4.0, INF, INF], [4.0, 3.0, 2.0]])
    assert speed_up([[4.0, INF, INF], [4.0, np.nan, np.nan]], reference).tolist() == [0, 0]


def test_a_window_longer_than_the_trajectory_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        steps_to_target([[1.0, 2.0]], 1.0, window=3)
