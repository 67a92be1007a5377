"""The numbers behind the figures."""

import numpy as np
import pandas as pd
import pytest

from l2obench.reports.cells.table import CellTable, TaskRows
from l2obench.reports.numbers.curves import final_loss_spreads, landscapes, learning_curves, running_mean

INF = float("inf")


def task_of(cells: pd.DataFrame) -> TaskRows:
    (task,) = CellTable(cells).tasks
    return task


def test_running_mean_is_of_the_last_losses_and_of_fewer_at_the_start():
    losses = np.array([[4.0, 2.0, 6.0, 10.0]])
    assert running_mean(losses, 2, np.arange(4)).tolist() == [[4.0, 3.0, 4.0, 8.0]]
    assert running_mean(losses, 1, np.array([0, 3])).tolist() == [[4.0, 10.0]]


def test_running_mean_keeps_small_losses_after_large_ones():
    losses = np.array([[1e12, 1e-9, 1e-9]])
    assert running_mean(losses, 1, np.arange(3))[0, 2] == 1e-9


def test_curve_is_the_tuned_track_and_runs_from_start_to_final_loss(cell, frame):
    (curve,) = learning_curves(task_of(frame(cell("adam", [5.0] * 4, track="default"), cell("adam", [1.0] * 4))))
    assert curve.label == "adam"
    assert (curve.steps[0], curve.steps[-1]) == (0, 20)
    assert (curve.middle[0], curve.middle[-1]) == pytest.approx((10.0, 1.0))
    assert curve.step_seconds == pytest.approx(3e-4)


def test_untuned_baseline_says_so_and_learned_optimizer_does_not(cell, frame):
    cells = frame(cell("adam", [1.0], track="default"), cell("lstm", [1.0], track="default", learned=True))
    assert [curve.label for curve in learning_curves(task_of(cells))] == ["adam, untuned", "lstm"]


def test_failed_seeds_leave_the_curve_and_enter_its_label(cell, frame):
    diverged, errors = learning_curves(task_of(frame(cell("adam", [1.0, 1.0, INF]), cell("sgd", [None, None]))))
    assert diverged.label == "adam (1 of 3 diverged)"
    assert diverged.middle[-1] == pytest.approx(1.0)
    assert errors.label == "sgd (2 of 2 failed)"
    assert np.isnan(errors.middle).all()


def test_long_horizons_are_thinned_with_both_ends_kept(cell, frame):
    rows = cell("adam", [1.0, 1.0], loss=np.geomspace(10, 1, 5001).tolist(), steps=5000)
    (curve,) = learning_curves(task_of(frame(rows)))
    assert len(curve.steps) <= 150
    assert (curve.steps[0], curve.steps[-1]) == (0, 5000)


def test_final_losses_show_survivors_and_an_infinite_mean(cell, frame):
    best, failed = final_loss_spreads(task_of(frame(cell("adam", [1.0, INF, 3.0]), cell("sgd", [7.0, 8.0, 9.0]))))
    assert (best.optimizer, best.mean) == ("sgd", 8.0)
    assert failed.losses.tolist() == [1.0, 3.0]
    assert failed.mean == INF


def test_landscape_is_infinite_where_a_seed_diverged():
    tried = pd.DataFrame(
        {
            "optimizer": "adam",
            "lr": [1.0, 1.0, 0.1, 0.1],
            "status": ["diverged", "ok", "ok", "ok"],
            "steps": 5,
            "final_loss": [INF, 1.0, 2.0, 4.0],
            "chosen": [False, False, True, True],
        }
    )
    (landscape,) = landscapes(tried)
    assert landscape.rates.tolist() == [0.1, 1.0]
    assert landscape.means.tolist() == [3.0, INF]
    assert landscape.chosen == 0.1
