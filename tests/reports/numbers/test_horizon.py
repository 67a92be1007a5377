"""Beyond the training horizon: where a learned optimizer's loss turns, and where the baseline passes it."""

from pathlib import Path

import numpy as np
import pytest

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.measure.costs import optimizer_costs
from l2obench.reports.numbers.horizon import past_the_horizon
from l2obench.reports.page.build import write_report
from l2obench.reports.sections.horizon import sentences

INF = float("inf")
DOWN = np.linspace(10.0, 0.0, 21).tolist()
TURNING = [*np.linspace(10.0, 1.0, 10), *np.linspace(1.5, 6.5, 11)]
"""Lowest, 1, at step 9; `DOWN` is below it from step 14 on, with 3 against 3.5."""


def trained(steps: object) -> dict[str, object]:
    return {"costs": {"optimizers": {"lstm": {"meta_training": {"horizon": steps}}}}}


def course(cell, frame, learned: list[float], baseline: list[float], steps: object = 10, seeds: int = 2):
    cells = frame(
        cell("nag", [baseline[-1]] * seeds, loss=baseline),
        cell("lstm", [learned[-1]] * seeds, loss=learned, learned=True, track="default"),
    )
    return past_the_horizon(cells, {"run": trained(steps)})


def test_numbers_by_hand(cell, frame):
    row = course(cell, frame, TURNING, DOWN).iloc[0]
    assert (row["trained_steps"], row["steps"], row["baseline"], row["seeds"]) == (10, 20, "nag", 2)
    assert (row["lowest_step"], row["lowest_loss"], row["final_loss"]) == (9, 1.0, 6.5)
    assert row["loss_at_trained_steps"] == TURNING[10]
    assert row["overtaken_step"] == 14


def test_never_overtaken_is_missing_and_always_behind_is_step_one(cell, frame):
    assert np.isnan(course(cell, frame, DOWN, TURNING).iloc[0]["overtaken_step"])
    assert course(cell, frame, [11.0] * 21, DOWN).iloc[0]["overtaken_step"] == 1


@pytest.mark.parametrize("steps", [20, 30, None, "ten"])
def test_nothing_is_said_within_the_horizon_or_where_it_is_not_known(cell, frame, steps):
    assert course(cell, frame, TURNING, DOWN, steps).empty


def test_a_failed_seed_is_infinite_from_its_failure_on(cell, frame):
    cells = frame(
        cell("nag", [0.0, 0.0], loss=DOWN),
        cell("lstm", [INF, 0.5], learned=True, track="default"),
    )
    row = past_the_horizon(cells, {"run": trained(10)}).iloc[0]
    assert row["final_loss"] == INF
    assert row["lowest_step"] == 4, "the first seed fails at step 5"
    assert row["overtaken_step"] == 5


def test_words_say_where_it_turns(cell, frame):
    (sentence,) = sentences(course(cell, frame, TURNING, DOWN))
    assert sentence == (
        "lstm was trained for 10 steps and ran 20 on bowl. Its mean loss is lowest at step 9 (1) and 6.5 at the end. "
        "From step 14 on, nag (0 at the end) is lower."
    )
    (sentence,) = sentences(course(cell, frame, DOWN, TURNING))
    assert sentence.endswith("Its mean loss is lowest at the end, lower than that of nag (6.5 at the end).")


def test_the_report_has_the_table_and_the_sentence(tmp_path: Path, cell, write_run):
    cells = [cell("nag", [0.0] * 3, loss=DOWN), cell("lstm", [6.5] * 3, loss=TURNING, learned=True, track="default")]
    report = write_report([write_run(tmp_path / "run", cells, **trained(10))], tmp_path / "report")
    assert "Beyond the training horizon" in report.page.read_text()
    assert "lowest at step 9" in report.page.read_text()
    assert any(path.name == "past_the_horizon.csv" for path in report.tables)


def test_a_run_keeps_the_horizon_that_a_checkpoint_was_trained_for():
    rule = optimizer_registry().create("lstm[checkpoint=mnist]")
    assert optimizer_costs(rule)["meta_training"]["horizon"] == 100
