"""Where a forest plot puts a ratio, an interval and a family."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.reports.figures.forest import AXES, axis_end, make_forest, place_on_axis

INF = float("inf")


def table(**by_task):
    """Rows of one optimizer: task → (ratio, low, high), the family before the underscore."""
    rows = [
        {"task": task, "family": task.partition("_")[0], "key": 0, "measure": "ratio", "verdict": "better"}
        | dict(zip(("typical", "typical_low", "typical_high"), found, strict=True))
        for task, found in by_task.items()
    ]
    return pd.DataFrame(rows)


@given(st.sampled_from(sorted(AXES)), st.floats(1e-9, 1e9))
def test_a_ratio_and_its_inverse_stand_at_the_same_distance_from_one(end, ratio) -> None:
    assert place_on_axis(ratio, end) + place_on_axis(1 / ratio, end) == pytest.approx(100, abs=0.011)
    assert 0 <= place_on_axis(ratio, end) <= 100


def test_the_axis_has_room_for_most_points_and_those_beyond_are_marked() -> None:
    found = make_forest(table(a=(0.9, 0.8, 1.0), b=(1.1, 1.0, 1.2), c=(1.0, 0.9, 1.1), d=(1e9, 1e8, INF)), [0])
    lanes = {task.task: task.lanes[0] for group in found.groups for task in group.tasks}
    assert (lanes["d"].beyond, lanes["d"].point) == (1, 100.0)
    assert lanes["a"].beyond == lanes["b"].beyond == 0
    assert lanes["d"].cut == (False, True)


def test_an_interval_that_goes_on_beyond_the_axis_is_cut() -> None:
    found = make_forest(table(a=(1.2, 0.0, INF), b=(0.9, 0.8, 1.1)), [0])
    lane = next(task.lanes[0] for group in found.groups for task in group.tasks if task.task == "a")
    assert (lane.low, lane.high, lane.cut) == (0.0, 100.0, (True, True))


def test_tasks_and_families_are_sorted_by_their_ratio() -> None:
    found = make_forest(
        table(x_1=(3.0, 2.0, 4.0), x_2=(2.0, 1.0, 3.0), y_1=(0.01, 0.0, 0.1), y_2=(900.0, 1.0, 1e3), z=(0.5, 0.4, 0.6)),
        [0],
    )
    assert [group.family for group in found.groups] == ["z", "x", "y"]  # medians 0.5, √6 and 3
    assert [task.task for task in found.groups[1].tasks] == ["x_2", "x_1"]


def test_a_task_without_a_ratio_has_no_point_and_comes_last() -> None:
    rows = table(a=(0.5, 0.4, 0.6), b=(-3.0, -4.0, -2.0))
    found = make_forest(rows.assign(measure=["ratio", "difference"]), [0])
    assert found.groups[-1].tasks[0].lanes[0].point is None
    assert found.groups[0].tasks[0].lanes[0].point is not None


def test_an_axis_without_a_ratio_still_has_ends() -> None:
    assert axis_end(pd.Series([], dtype=float)) == min(AXES)
    assert axis_end(pd.Series([INF, math.nan])) == min(AXES)
