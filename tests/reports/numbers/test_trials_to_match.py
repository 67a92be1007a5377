"""Trials to match: counted by hand, from a grid, from a budget and from defaults."""

import math

import numpy as np
import pandas as pd
import pytest

from l2obench.reports.numbers.trials_to_match import matched_over_tasks, trials_to_match

GRID = [10 ** (k / 4) for k in range(-16, 5)]


def grid(task, means, optimizer="adam", steps=20, seeds=2):
    """Rows of a tuning: a mean for each of some rates."""
    return pd.DataFrame(
        [
            {"task": task, "optimizer": optimizer, "lr": float(f"{lr:.6g}"), "seed": seed, "steps": steps}
            | {"status": "ok" if math.isfinite(mean) else "diverged", "final_loss": mean}
            for lr, mean in zip(GRID, means, strict=False)
            for seed in range(seeds)
        ]
    )


def cells(cell, frame, task="bowl", track="tuned", learned=0.5):
    return frame(
        cell("adam", [0.4] * 4, task=task, track=track, loss=[1.0] * 21, seconds=(2e-3, 1e-3)),
        cell("lstm", [learned] * 4, task=task, track="default", learned=True, loss=[1.0] * 21),
    )


NOTHING = pd.DataFrame()


def test_a_grids_rates_in_a_random_order(cell, frame):
    row = trials_to_match(cells(cell, frame), grid("bowl", [2.0, 0.6, 0.4, 0.5, math.inf]), NOTHING).iloc[0]
    assert (row["source"], row["tried"], row["matching"]) == ("grid", 5, 2)
    assert row["trials"] == (5 + 1) / (2 + 1)
    assert row["passes"] == 2 * 20
    assert row["seconds"] == pytest.approx(2 * 20 * 3e-3)
    assert (row["mean_final_loss"], row["best_mean"]) == (0.5, 0.4)


def test_no_rate_matches(cell, frame):
    row = trials_to_match(cells(cell, frame), grid("bowl", [2.0, 0.6]), NOTHING).iloc[0]
    assert row["matching"] == 0
    assert np.isinf([row["trials"], row["passes"], row["seconds"]]).all()


def test_rates_between_the_grids_points_do_not_count(cell, frame):
    """They are tried because their neighbours are good."""
    tuning = grid("bowl", [2.0, 0.4])
    between = tuning[tuning["lr"] == tuning["lr"].max()].assign(lr=1.33352e-4)
    row = trials_to_match(cells(cell, frame), pd.concat([tuning, between]), NOTHING).iloc[0]
    assert row["tried"] == 2


def test_rates_that_halving_gave_up_do_not_match(cell, frame):
    short = grid("bowl", [0.1, 0.1, 0.1], steps=7)
    long = grid("bowl", [0.1])
    row = trials_to_match(cells(cell, frame), pd.concat([short, long]), NOTHING).iloc[0]
    assert (row["tried"], row["matching"]) == (3, 1)


def test_a_budgets_trials_count_on_the_evaluation_seeds(cell, frame):
    trials = pd.DataFrame(
        [
            {"task": "bowl", "optimizer": "adam", "track": "budget=3", "trial": trial, "pool": pool, "seed": seed}
            | {"status": "ok", "final_loss": loss, "heldout_loss": None, "steps": 20}
            for trial, losses in enumerate([(0.1, 0.9), (0.1, 0.2), (0.9, 0.4)])
            for pool, loss in zip(("tuning", "evaluation"), losses, strict=True)
            for seed in range(2)
        ]
    )
    row = trials_to_match(cells(cell, frame, track="budget=3"), NOTHING, trials).iloc[0]
    assert (row["source"], row["tried"], row["matching"]) == ("budget=3", 3, 2)


def test_a_baseline_without_tuning_has_one_trial(cell, frame):
    found = trials_to_match(cells(cell, frame, track="default"), NOTHING, NOTHING).iloc[0]
    assert (found["source"], found["tried"], found["trials"], found["passes"]) == ("default", 1, 1.0, 20.0)
    worse = trials_to_match(cells(cell, frame, track="default", learned=0.3), NOTHING, NOTHING).iloc[0]
    assert np.isinf(worse["trials"])


def test_losses_below_the_floor_are_equal(cell, frame):
    row = trials_to_match(cells(cell, frame, learned=1e-30), grid("bowl", [1e-20]), NOTHING).iloc[0]
    assert row["matching"] == 1


def test_over_tasks_the_share_that_some_trials_match(cell, frame):
    both = pd.concat([cells(cell, frame), cells(cell, frame, task="valley")], ignore_index=True)
    tuning = pd.concat([grid("bowl", [0.4, 0.9, 0.9]), grid("valley", [0.9, 0.9, 0.9])])
    row = matched_over_tasks(trials_to_match(both, tuning, NOTHING)).iloc[0]
    assert (row["tasks"], row["never"]) == (2, 1)
    assert np.isinf(row["trials"])
    assert row["within_1"] == pytest.approx((1 / 3 + 0) / 2)
    assert row["within_5"] == pytest.approx(0.5)


def test_without_a_learned_optimizer_there_is_nothing_to_match(cell, frame):
    only = frame(cell("adam", [0.4] * 4, track="default"))
    table = trials_to_match(only, NOTHING, NOTHING)
    assert table.empty
    assert matched_over_tasks(table).empty
