"""The tables against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from l2obench.reports.numbers.failures import failures
from l2obench.reports.numbers.final_losses import final_losses
from l2obench.reports.numbers.headline import headline
from l2obench.reports.numbers.step_times import step_times
from l2obench.reports.numbers.time_to_target import time_to_target
from l2obench.reports.numbers.tuning import tuning

INF = float("inf")


def only(table: pd.DataFrame, **key: str) -> pd.Series:
    """The one row of a table that has these values."""
    for column, value in key.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


class TestHeadline:
    def test_ratio_is_of_means_against_the_best_tuned_baseline(self, cell, frame):
        cells = frame(
            cell("lstm", [1.0, 2.0, 3.0] * 4, learned=True, track="default", seconds=(2e-4, 9e-4)),
            cell("adam", [2.0, 4.0, 6.0] * 4, seconds=(2e-4, 3e-4)),
            cell("sgd", [5.0, 5.0, 5.0] * 4),
        )
        row = only(headline(cells), optimizer="lstm")
        assert row["baseline"] == "adam"
        assert row["ratio"] == pytest.approx(6 / 12)
        # Every seed's loss is half the baseline's, so every paired resample has the same ratio.
        assert (row["low"], row["high"]) == pytest.approx((0.5, 0.5))
        assert row["verdict"] == "better"
        assert row["typical_ratio"] == pytest.approx(0.5)
        assert row["win_rate"] == 1
        assert row["update_time_ratio"] == pytest.approx(3.0)
        assert row["step_time_ratio"] == pytest.approx(11 / 5)

    @pytest.mark.parametrize(("default", "track"), [(0.5, "default"), (2.0, "tuned"), (4.0, "tuned")])
    def test_a_baseline_counts_in_its_best_track_tuned_where_both_are_equal(self, cell, frame, default, track):
        cells = frame(
            cell("lstm", [1.0, 1.0], learned=True, track="default"),
            cell("adam", [default] * 2, track="default"),
            cell("adam", [2.0, 2.0], track="tuned"),
        )
        row = only(headline(cells), optimizer="lstm")
        assert (row["baseline"], row["baseline_track"]) == ("adam", track)

    def test_a_rule_that_nobody_tunes_may_be_the_one_to_beat(self, cell, frame):
        cells = frame(
            cell("lstm", [1.0, 1.0], learned=True, track="default"),
            cell("adam", [2.0, 2.0], track="tuned"),
            cell("l-bfgs", [0.5, 0.5], track="default"),
        )
        row = only(headline(cells), optimizer="lstm")
        assert (row["baseline"], row["baseline_track"]) == ("l-bfgs", "default")

    def test_untuned_baseline_stands_in_and_is_named_as_such(self, cell, frame):
        cells = frame(cell("lstm", [1.0, 1.0], learned=True, track="default"), cell("sgd", [2.0, 2.0], track="default"))
        row = only(headline(cells), optimizer="lstm")
        assert (row["baseline"], row["baseline_track"], row["ratio"]) == ("sgd", "default", 0.5)

    @pytest.mark.parametrize(
        ("losses", "verdict"),
        [
            ([3.0, 3.3, 3.1, 3.2] * 3, "worse"),
            ([1.9, 2.2, 1.9, 2.2] * 3, "no difference"),
            ([3.0, 3.3, 3.1, 3.2], "too few seeds"),
        ],
    )
    def test_verdict_follows_the_typical_ratio(self, cell, frame, losses, verdict):
        cells = frame(cell("lstm", losses, learned=True, track="default"), cell("adam", [2.0, 2.1, 2.2, 1.9] * 3))
        assert only(headline(cells), optimizer="lstm")["verdict"] == verdict

    def test_p_values_are_adjusted_for_the_rows_of_the_table(self, cell, frame):
        baseline = [2.0 + seed / 10 for seed in range(10)]
        cells = frame(
            cell("adam", baseline),
            cell("adam", baseline, task="valley"),
            cell("lstm", [0.9 * loss for loss in baseline], learned=True, track="default"),
            cell("lstm", [1.2 * loss for loss in baseline], task="valley", learned=True, track="default"),
        )
        # Ten pairs that all differ one way have p = 2/1024; two comparisons double it.
        assert headline(cells)["p_value"].tolist() == pytest.approx([4 / 1024, 4 / 1024])

    def test_failed_seed_makes_the_ratio_infinite_and_is_told(self, cell, frame):
        cells = frame(cell("lstm", [0.1, 0.1, INF], learned=True, track="default"), cell("adam", [2.0, 2.0, 2.0]))
        row = only(headline(cells), optimizer="lstm")
        assert row["ratio"] == INF
        assert not row["verdict"].startswith("better")
        assert row["verdict"].endswith("1 of 3 seeds failed")

    def test_failed_baseline_seed_is_told_too(self, cell, frame):
        cells = frame(cell("lstm", [0.1, 0.1, 0.1], learned=True, track="default"), cell("adam", [2.0, None, 2.0]))
        row = only(headline(cells), optimizer="lstm")
        assert row["baseline_failures"] == 1
        assert "1 of 3 baseline seeds failed" in row["verdict"]

    def test_baseline_that_never_failed_beats_one_that_did(self, cell, frame):
        cells = frame(
            cell("lstm", [1.0, 1.0], learned=True, track="default"),
            cell("adam", [0.1, INF]),
            cell("sgd", [9.0, 9.0]),
        )
        assert only(headline(cells), optimizer="lstm")["baseline"] == "sgd"

    def test_only_common_seeds_are_compared(self, cell, frame):
        cells = frame(
            cell("lstm", [1.0, 2.0, 50.0], learned=True, track="default"),
            cell("adam", [2.0, 4.0]),
        )
        row = only(headline(cells), optimizer="lstm")
        assert (row["seeds"], row["ratio"]) == (2, 0.5)

    @pytest.mark.parametrize(
        ("baseline", "reason"),
        [
            ({"optimizer": "adam", "final_losses": [1.0, 1.0], "first_seed": 7}, "no common seeds"),
            ({"optimizer": "other", "final_losses": [1.0, 1.0], "learned": True}, "no baseline ran"),
        ],
    )
    def test_what_cannot_be_compared_says_why(self, cell, frame, baseline, reason):
        cells = frame(cell("lstm", [1.0, 1.0], learned=True, track="default"), cell(**baseline))
        row = only(headline(cells), optimizer="lstm")
        assert row["verdict"] == f"not comparable: {reason}"
        assert np.isnan(row["ratio"])

    def test_one_seed_decides_nothing(self, cell, frame):
        cells = frame(cell("lstm", [1.0], learned=True, track="default"), cell("adam", [100.0]))
        assert only(headline(cells), optimizer="lstm")["verdict"] == "too few seeds"

    def test_negative_losses_have_a_verdict_and_no_ratio(self, cell, frame):
        cells = frame(cell("lstm", [-2.0] * 12, learned=True, track="default"), cell("adam", [-1.0] * 12))
        row = only(headline(cells), optimizer="lstm")
        assert row["verdict"] == "better"
        assert np.isnan([row["ratio"], row["typical_ratio"]]).all()
        assert (row["typical_difference"], row["difference_low"], row["difference_high"]) == (-1.0, -1.0, -1.0)

    def test_where_typical_function_and_mean_point_apart_the_verdict_is_mixed(self, cell, frame):
        hard = np.arange(200) % 10 == 0
        base = np.where(hard, 10.0 + np.arange(200) / 100, 1e-3)
        cells = frame(
            cell("lstm", list(base * np.where(hard, 1.5, 0.01)), learned=True, track="default"),
            cell("adam", list(base)),
        )
        assert only(headline(cells), optimizer="lstm")["verdict"] == "mixed"

    def test_runs_are_kept_apart(self, cell, frame):
        one = frame(cell("lstm", [1.0, 1.0], learned=True, track="default"), cell("adam", [2.0, 2.0])).assign(run="a")
        two = frame(cell("lstm", [3.0, 3.0], learned=True, track="default"), cell("adam", [1.0, 1.0])).assign(run="b")
        table = headline(pd.concat([one, two], ignore_index=True))
        assert dict(zip(table["run"], table["ratio"], strict=True)) == {"a": 0.5, "b": 3.0}


class TestFinalLosses:
    def test_means_and_learning_rate(self, cell, frame):
        table = final_losses(frame(cell("adam", [1.0, 2.0, 3.0, 10.0], lr=0.03)))
        row = only(table, optimizer="adam")
        assert (row["seeds"], row["failures"], row["lr"]) == (4, 0, 0.03)
        assert row["mean_final_loss"] == pytest.approx(4.0)
        assert row["iqm_final_loss"] == pytest.approx(2.5)
        assert 1.0 <= row["low"] < 4.0 < row["high"] <= 10.0

    @pytest.mark.parametrize("failure", [INF, None])
    def test_failure_is_counted_and_infinite(self, cell, frame, failure):
        row = only(final_losses(frame(cell("adam", [1.0, failure, 3.0]))), optimizer="adam")
        assert (row["seeds"], row["failures"], row["mean_final_loss"], row["high"]) == (3, 1, INF, INF)

    def test_number_that_a_failed_seed_left_behind_does_not_count(self, cell, frame):
        cells = frame(cell("adam", [1.0, 1.0]), cell("adam", [0.1], status="timeout", first_seed=2))
        row = only(final_losses(cells), optimizer="adam")
        assert (row["failures"], row["mean_final_loss"]) == (1, INF)

    def test_failed_seed_has_the_worst_heldout_values(self, cell, frame):
        rows = cell("adam", [1.0, INF], heldout_loss=0.5, heldout_accuracy=0.9)
        row = only(final_losses(frame(rows)), optimizer="adam")
        assert (row["heldout_loss"], row["heldout_accuracy"]) == (INF, pytest.approx(0.45))

    def test_task_without_heldout_data_has_no_heldout_loss(self, cell, frame):
        row = only(final_losses(frame(cell("adam", [1.0, INF]))), optimizer="adam")
        assert np.isnan(row["heldout_loss"])

    def test_lowest_mean_of_a_task_comes_first_and_tasks_keep_their_order(self, cell, frame):
        cells = frame(
            cell("sgd", [3.0, 3.0], task="z"),
            cell("adam", [INF, 0.1], task="z"),
            cell("nag", [2.0, 2.0], task="z"),
            cell("sgd", [9.0, 9.0], task="a"),
        )
        table = final_losses(cells)
        assert list(zip(table["task"], table["optimizer"], strict=True)) == [
            ("z", "nag"),
            ("z", "sgd"),
            ("z", "adam"),
            ("a", "sgd"),
        ]


class TestTimeToTarget:
    def test_steps_and_seconds_by_hand(self, cell, frame):
        falling = [float(20 - step) for step in range(21)]
        fast = [max(0.0, float(20 - 4 * step)) for step in range(21)]
        cells = frame(
            cell("adam", [6.0, 6.0, 6.0], loss=falling),
            cell("lstm", [0.0, 0.0, 0.0], loss=fast, learned=True, track="default", seconds=(0.5, 1.5)),
        )
        cells["final_loss"] = cells["final_loss"].astype(float)
        table = time_to_target(cells)
        lstm = only(table, optimizer="lstm")
        # 20 - 4t ≤ 6 first at t = 4, at 0.5 + 1.5 seconds a step.
        assert (lstm["target"], lstm["steps"], lstm["seconds"], lstm["reached"]) == (6.0, 4.0, 8.0, 1.0)
        assert only(table, optimizer="adam")["steps"] == 14.0

    def test_loss_is_averaged_over_the_final_window(self, cell, frame):
        falling = [float(20 - step) for step in range(21)]
        row = only(time_to_target(frame(cell("adam", [6.0] * 3, loss=falling, final_window=5))), optimizer="adam")
        # The mean of five losses is that of the middle one, two steps earlier.
        assert row["steps"] == 16.0

    def test_target_is_the_median_final_loss_of_the_best_tuned_baseline(self, cell, frame):
        cells = frame(
            cell("adam", [1.0, 2.0, 9.0]), cell("sgd", [5.0, 5.0, 5.0]), cell("nag", [0.1] * 3, track="default")
        )
        assert set(time_to_target(cells)["target"]) == {2.0}

    def test_not_reached_is_infinite_with_its_fraction(self, cell, frame):
        cells = frame(cell("adam", [1.0, 1.0, 1.0]), cell("sgd", [0.5, 5.0, 5.0]))
        row = only(time_to_target(cells), optimizer="sgd")
        assert (row["steps"], row["seconds"], row["reached"]) == (INF, INF, pytest.approx(1 / 3))

    def test_half_of_the_seeds_is_enough(self, cell, frame):
        row = only(time_to_target(frame(cell("adam", [1.0, 1.0, 5.0, 5.0]))), optimizer="adam")
        assert row["target"] == 3.0
        assert (row["reached"], np.isfinite(row["steps"])) == (0.5, True)

    def test_seeds_without_a_trajectory_never_arrive(self, cell, frame):
        cells = frame(cell("adam", [1.0, 1.0]), cell("broken", [None, None], track="default"))
        row = only(time_to_target(cells), optimizer="broken")
        assert (row["steps"], row["reached"], row["failures"]) == (INF, 0.0, 2)

    def test_no_target_is_reached_where_no_baseline_got_anywhere(self, cell, frame):
        cells = frame(cell("adam", [INF, INF]), cell("lstm", [1.0, 1.0], learned=True, track="default"))
        assert set(time_to_target(cells)["reached"]) == {0.0}


class TestFailures:
    def test_every_failed_row_is_counted_once_and_alike_ones_together(self, cell, frame):
        cells = frame(cell("adam", [1.0, INF, INF]), cell("sgd", [None, None, None]), cell("nag", [1.0, 1.0, 1.0]))
        table = failures(cells)
        assert table["failures"].sum() == (cells["status"] != "ok").sum()
        adam = only(table, optimizer="adam")
        assert adam["reason"] == "the loss was not finite"
        assert (adam["failures"], adam["seeds"], adam["first_failed_step"], adam["last_failed_step"]) == (2, 3, 6, 7)
        assert only(table, optimizer="sgd")["reason"] == "ValueError: no such thing"

    def test_failure_without_a_reason_is_still_one(self, cell, frame):
        table = failures(frame(cell("adam", [1.0, None], status="timeout", reason=None)))
        assert list(table["failures"]) == [2]


def test_step_seconds_are_microseconds_with_ratios_to_adam(cell, frame):
    quartiles = {f"{half}_seconds{suffix}": 1e-6 for half in ("grad", "update") for suffix in ("_q25", "_q75")}
    common = {"task": "bowl", "threads": 1, "device": "cpu", "reason": None, **quartiles}
    timing = pd.DataFrame(
        [
            {**common, "optimizer": "lstm", "grad_seconds": 2e-4, "update_seconds": 9e-4},
            {**common, "optimizer": "adam", "grad_seconds": 2e-4, "update_seconds": 1e-4},
            {**common, "optimizer": "broken", "grad_seconds": None, "update_seconds": None, "reason": "TypeError: no"},
        ]
    )
    table = step_times(timing, frame(cell("lstm", [1.0]), cell("adam", [1.0])))
    lstm = only(table, optimizer="lstm")
    assert (lstm["grad_microseconds"], lstm["update_microseconds"]) == pytest.approx((200.0, 900.0))
    assert (lstm["update_ratio_to_adam"], lstm["step_ratio_to_adam"]) == pytest.approx((9.0, 11 / 3))
    assert lstm["state_bytes"] == 80
    broken = only(table, optimizer="broken")
    assert broken["reason"] == "TypeError: no"
    assert np.isnan(broken["update_microseconds"])


def test_tuning_tells_the_choice_its_cost_and_the_edge():
    tried = pd.DataFrame(
        {
            "task": "bowl",
            "optimizer": "adam",
            "lr": [0.1, 0.1, 1.0, 1.0],
            "seed": [0, 1, 0, 1],
            "status": ["ok", "ok", "ok", "diverged"],
            "steps": 100,
            "final_loss": [1.0, 3.0, 0.5, INF],
            "chosen": [True, True, False, False],
            "at_edge": True,
        }
    )
    row = only(tuning(tried), optimizer="adam")
    assert (row["lr"], row["mean_final_loss"], row["rates_tried"]) == (0.1, 2.0, 2)
    assert (row["seeds"], row["passes"], bool(row["at_edge"])) == (2, 400, True)


def test_no_rows_give_an_empty_table_with_its_columns(cell, frame):
    cells = frame(cell("adam", [1.0, 2.0]))
    assert headline(cells).empty
    assert "verdict" in headline(cells)
    assert failures(cells).empty
