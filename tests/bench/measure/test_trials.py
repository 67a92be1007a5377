"""A budget of trials: the same list for everyone, chosen on tuning seeds, every failure a row."""

import json
import math
from collections import Counter

import pytest
import torch

from l2obench.bench.config.budget import search_space
from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.failures import Failure
from l2obench.bench.measure.trials import Search, draw_trials, search
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.seeds import derive_seed

TASK = "quadratic[horizon=15]"


def find(optimizer: str, trials: int = 8, task: str = TASK, track: str = "budget", **options: float) -> Search:
    made = task_registry().create(task), optimizer_registry().create(optimizer)
    return search(*made, f"{track}={trials}", 3, 4, options=RunOptions(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Search:
    return find("momentum")


def test_every_trial_has_a_row_for_each_seed_of_both_pools(found: Search) -> None:
    assert Counter((row["trial"], row["pool"]) for row in found.rows) == {
        (trial, pool): seeds for trial in range(8) for pool, seeds in (("tuning", 3), ("evaluation", 4))
    }
    assert found.passes == 8 * 3 * 15


def test_rows_are_the_rollouts_of_the_trials(found: Search) -> None:
    task = task_registry().create(TASK)
    trials = draw_trials(search_space(optimizer_registry().create("momentum")), 8)
    for place, values in enumerate(trials):
        rule = optimizer_registry().create("momentum", values)
        for pool, seeds in (("tuning", 3), ("evaluation", 4)):
            derived = [derive_seed(pool, "quadratic", k) for k in range(seeds)]  # type: ignore[arg-type]
            expected = rollout(task, rule, derived, evaluate=False).losses[:, 0, -1]
            rows = [row for row in found.rows if (row["trial"], row["pool"]) == (place, pool)]
            torch.testing.assert_close(torch.tensor([row["final_loss"] for row in rows]), expected, rtol=1e-4, atol=0)
            assert all(json.loads(row["hyperparameters"]) == values for row in rows)


def test_tuning_seeds_alone_choose(found: Search) -> None:
    means = {
        trial: sum(row["final_loss"] for row in found.rows if (row["trial"], row["pool"]) == (trial, "tuning")) / 3
        for trial in range(8)
    }
    best = min(means, key=lambda trial: means[trial])
    assert {row["trial"] for row in found.rows if row["chosen"]} == {best}
    assert json.loads(next(row["hyperparameters"] for row in found.rows if row["chosen"])) == found.chosen


def test_a_larger_budget_begins_with_the_same_trials(found: Search) -> None:
    larger = [row for row in find("momentum", 12).rows if row["trial"] < 8]
    for row, other in zip(found.rows, larger, strict=True):
        assert (row["hyperparameters"], row["seed"], row["pool"]) == (
            other["hyperparameters"],
            other["seed"],
            other["pool"],
        )
        assert row["final_loss"] == pytest.approx(other["final_loss"], rel=1e-4)


def test_numbers_do_not_depend_on_the_memory(found: Search) -> None:
    tight = find("momentum", memory=1.0)
    for row, other in zip(found.rows, tight.rows, strict=True):
        assert row["final_loss"] == pytest.approx(other["final_loss"], rel=1e-4)
    assert tight.chosen == found.chosen


def test_failures_are_rows_and_are_not_chosen() -> None:
    result = find("sgd", 16, "quadratic[horizon=60]")
    failed = [row for row in result.rows if row["status"] == "diverged"]
    assert failed
    assert all(math.isinf(row["final_loss"]) and row["failed_step"] > 0 for row in failed)
    assert all(row["status"] == "ok" for row in result.rows if row["chosen"] and row["pool"] == "tuning")


def test_held_out_loss_chooses_where_the_track_says_so() -> None:
    result = find("adamw", 6, "mnist-mlp[batch=8,horizon=5,units=4]", "heldout-budget")
    assert "weight_decay" in result.chosen
    means = {
        trial: sum(row["heldout_loss"] for row in result.rows if (row["trial"], row["pool"]) == (trial, "tuning"))
        for trial in range(6)
    }
    assert {row["trial"] for row in result.rows if row["chosen"]} == {min(means, key=lambda trial: means[trial])}


def test_held_out_loss_cannot_choose_where_there_is_none() -> None:
    with pytest.raises(Failure, match=r"heldout-budget=4 needs a task with a held-out loss, .*Try: budget=4"):
        find("adamw", 4, TASK, "heldout-budget")
