"""Comparisons with tuned Adam, profiles and costs: by hand, and blind to what other optimizers ran."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2obench.bench.stats import Target, stored_targets
from l2obench.reports.figures.canvas import FORMATS
from l2obench.reports.figures.drawing import write_figures
from l2obench.reports.figures.profiles import profile_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.numbers import reference
from l2obench.reports.numbers.against_adam import against_adam
from l2obench.reports.numbers.costs import costs
from l2obench.reports.numbers.curves import task_plots
from l2obench.reports.numbers.profiles import ALL_TASKS, all_cost_ratios, profile_table, profiles
from l2obench.reports.numbers.time_to_target import time_to_target

INF = float("inf")
LOSSES = st.lists(st.one_of(st.floats(0.01, 9.0), st.just(INF), st.none()), min_size=4, max_size=4)


def only(table: pd.DataFrame, **key: str) -> pd.Series:
    for column, value in key.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def straight(end: float) -> list[float]:
    """Losses from 10 at step 0 to `end` at step 20, in a straight line."""
    return np.linspace(10.0, end, 21).tolist()


@pytest.fixture
def stored(monkeypatch):
    """A stored target of 5 for version 1 of the toy task."""
    target = Target(task="bowl", task_version=1, loss=5.0, optimizer="nag", lr=0.1, seeds=3, commit="abc")
    monkeypatch.setattr(reference, "stored_targets", lambda: {("bowl", 1): target})


class TestAgainstAdam:
    def test_numbers_by_hand(self, cell, frame):
        cells = frame(
            cell("adam", [0.0] * 4, loss=straight(0.0)),
            cell("lstm", [5.0, 5.0, 5.0, INF], loss=straight(5.0), learned=True, track="default"),
        )
        row = only(against_adam(cells), optimizer="lstm")
        assert (row["seeds"], row["failure_rate"], row["probability"]) == (4, 0.25, 0.0)
        # Adam is at 5 after 10 of its steps; the rule took 20. The failed seed counts as 0.
        assert (row["speed_up"], row["never_matched"]) == (0.5, 0.0)

    def test_infinite_where_adam_never_gets_as_low(self, cell, frame):
        cells = frame(cell("adam", [1.0, 1.0, 1.0]), cell("lstm", [0.1, 0.1, 2.0], learned=True))
        row = only(against_adam(cells), optimizer="lstm")
        assert (row["speed_up"], row["never_matched"]) == (INF, pytest.approx(2 / 3))
        assert row["probability"] == pytest.approx(2 / 3)

    def test_p_values_are_corrected_for_the_tasks_of_one_optimizer(self, cell, frame):
        losses = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]
        tasks = ("bowl", "valley")
        cells = frame(
            *(cell("adam", losses, task=task) for task in tasks),
            *(cell("sgd", [2 * loss for loss in losses], task=task) for task in tasks),
            cell("nag", [2 * loss for loss in losses]),
        )
        table = against_adam(cells)
        assert table[table["optimizer"] == "sgd"]["p_value"].tolist() == pytest.approx([4 / 64, 4 / 64])
        assert only(table, optimizer="nag")["p_value"] == pytest.approx(2 / 64)

    def test_without_tuned_adam_there_is_nothing(self, cell, frame):
        cells = frame(cell("adam", [1.0], track="default"), cell("sgd", [1.0]))
        assert against_adam(cells).empty
        assert profiles(all_cost_ratios(cells)) == []

    def test_no_common_seed_is_told_by_missing_numbers(self, cell, frame):
        row = only(against_adam(frame(cell("adam", [1.0]), cell("sgd", [1.0], first_seed=5))), optimizer="sgd")
        assert row["seeds"] == 0
        assert np.isnan(row["probability"])


@pytest.mark.usefixtures("stored")
class TestProfiles:
    def test_shares_by_hand(self, cell, frame):
        cells = frame(
            cell("adam", [0.0, 0.0, 6.0], loss=straight(0.0)),
            cell("lstm", [0.0] * 3, loss=[*straight(-10.0)], learned=True, seconds=(2e-4, 4e-4)),
            cell("sgd", [9.0] * 3, loss=straight(9.0)),
        )
        table = profile_table(all_cost_ratios(cells))
        lstm = only(table, optimizer="lstm", measure="steps")
        # 5 is reached at step 5 instead of 10: half of Adam's steps; at twice its seconds a step, all of its seconds.
        assert lstm[["within_0.25×", "within_0.5×", "within_1×", "solved"]].tolist() == [0, 1, 1, 1]
        seconds = only(table, optimizer="lstm", measure="seconds")
        assert seconds[["within_0.5×", "within_1×"]].tolist() == [0, 1]
        assert only(table, optimizer="sgd", measure="steps")["solved"] == 0
        assert only(table, optimizer="adam", measure="steps")["within_1×"] == 1

    def test_adam_that_never_arrives_is_charged_its_horizon(self, cell, frame):
        cells = frame(cell("adam", [9.0], loss=straight(9.0)), cell("lstm", [0.0], loss=straight(0.0), learned=True))
        row = only(profile_table(all_cost_ratios(cells)), optimizer="lstm", measure="steps")
        assert row[["within_0.25×", "within_0.5×"]].tolist() == [0, 1]
        assert only(profile_table(all_cost_ratios(cells)), optimizer="adam", measure="steps")["solved"] == 0

    def test_untimed_optimizers_have_no_profile_in_seconds(self, cell, frame):
        cells = frame(cell("adam", [1.0]), cell("sgd", [1.0], seconds=(None, None)))
        assert {item.measure for item in profiles(all_cost_ratios(cells)) if item.optimizer == "sgd"} == {"steps"}

    def test_mean_over_tasks_is_of_those_that_ran_on_all(self, cell, frame):
        cells = frame(
            cell("adam", [1.0] * 4),
            cell("adam", [1.0], task="valley"),
            cell("sgd", [1.0] * 4),
        )
        together = [
            item for item in profiles(all_cost_ratios(cells)) if item.task == ALL_TASKS and item.measure == "steps"
        ]
        assert [(item.optimizer, item.seeds, item.solved) for item in together] == [("adam", 5, 1.0)]

    def test_figures_are_written_in_three_formats_twice_the_same(self, cell, frame, tmp_path):
        cells = frame(cell("adam", [1.0, 2.0]), cell("$a_b$", [0.5, INF], learned=True))
        styles = line_styles(task_plots(cells, pd.DataFrame({"task": [], "optimizer": []})))
        for folder in (tmp_path / "a", tmp_path / "b"):
            folder.mkdir()
            drawings = profile_drawings(profiles(all_cost_ratios(cells)), styles)
            assert len(write_figures(drawings, folder, FORMATS)) == 2 * (3 + 1)
            assert "bowl" in drawings[0].description
        files = sorted((tmp_path / "a").iterdir())
        assert {path.suffix for path in files} == {".svg", ".png", ".pdf", ".csv"}
        assert [path.read_bytes() for path in files] == [(tmp_path / "b" / path.name).read_bytes() for path in files]


TABLES = {
    "against_adam": against_adam,
    "profiles": lambda cells: profile_table(all_cost_ratios(cells)),
    "time_to_target": time_to_target,
    "costs": lambda cells: costs(cells, {}),
}


@pytest.fixture
def others(cell):
    return [
        cell("adam", [1.0, 3.0, INF, 2.0]),
        cell("sgd", [0.5, 4.0, 1.0, 2.0]),
        cell("lstm", [0.1, 6.0, 1.0, None]),
    ]


@pytest.fixture
def alone(stored, frame, others):
    """The tables of the others, before an optimizer is added."""
    return {name: table(frame(*others)) for name, table in TABLES.items()}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(newcomer=LOSSES, learned=st.booleans(), first=st.booleans())
def test_adding_an_optimizer_changes_no_other_row(cell, frame, others, alone, newcomer, learned, first) -> None:
    """Targets, probabilities, speed-ups, p-values, profiles and costs of the others stay as they were."""
    added = cell("new", newcomer, learned=learned, seconds=(1e-5, 1e-6))
    after = frame(*([added, *others] if first else [*others, added]))
    for name, before in alone.items():
        order = {"by": [key for key in ("task", "optimizer", "measure") if key in before], "ignore_index": True}
        kept = TABLES[name](after)[lambda rows: rows["optimizer"] != "new"]
        pd.testing.assert_frame_equal(kept.sort_values(**order), before.sort_values(**order), check_dtype=False)


def test_stored_target_is_used_for_its_version_only(cell, frame, stored):
    now = time_to_target(frame(cell("adam", [1.0, 2.0, 3.0])))
    assert only(now, optimizer="adam")[["target", "target_from"]].tolist() == [5.0, "stored"]
    later = time_to_target(frame(cell("adam", [1.0, 2.0, 3.0], task_version=2)))
    assert only(later, optimizer="adam")[["target", "target_from"]].tolist() == [2.0, "this run"]


def test_shipped_targets_reach_the_tables(cell, frame):
    table = time_to_target(frame(cell("adam", [1.0, 2.0], task="quadratic")))
    assert only(table, optimizer="adam")["target"] == stored_targets()["quadratic", 1].loss


class TestCosts:
    MANIFEST: ClassVar[dict[str, Any]] = {
        "costs": {
            "tasks": {"bowl": {"parameters": 10}},
            "optimizers": {
                "adam": {"flops_per_coordinate": 11, "meta_training": None},
                "lstm": {
                    "flops_per_coordinate": 10326,
                    "meta_training": {"seconds": 60.5, "trajectories": 100, "functions": 8},
                },
            },
        }
    }

    def test_everything_is_told(self, cell, frame):
        cells = frame(cell("adam", [1.0], tuning_passes=4200), cell("lstm", [1.0], learned=True, track="default"))
        table = costs(cells, {"toy": self.MANIFEST})
        adam, lstm = only(table, optimizer="adam"), only(table, optimizer="lstm")
        assert adam[["forward_passes", "backward_passes", "tuning_passes"]].tolist() == [20, 20, 4200]
        assert adam[["flops_per_coordinate", "state_bytes_per_parameter", "meta_training_seconds"]].tolist() == [
            11,
            8,
            0,
        ]
        assert lstm[["meta_training_seconds", "meta_training_trajectories"]].tolist() == [60.5, 800]
        assert lstm[["grad_microseconds", "update_microseconds"]].tolist() == pytest.approx([200, 100])

    @pytest.mark.parametrize("manifest", [{}, {"costs": None}, {"costs": {"tasks": None, "optimizers": {"lstm": []}}}])
    def test_what_is_not_known_is_missing_not_nothing(self, cell, frame, manifest):
        row = only(costs(frame(cell("lstm", [1.0], learned=True)), {"toy": manifest}), optimizer="lstm")
        assert row[["flops_per_coordinate", "state_bytes_per_parameter", "meta_training_seconds"]].isna().all()

    def test_runs_keep_their_own(self, cell, frame):
        cells = pd.concat([frame(cell("adam", [1.0])).assign(run=run) for run in ("a", "b")], ignore_index=True)
        table = costs(cells, {"a": self.MANIFEST, "b": {}})
        assert table["parameters"].fillna(-1).tolist() == [10, -1]


def test_pages_of_runs_hold_every_table(cell, write_run, tmp_path: Path):
    from l2obench.reports.page.build import write_report

    run = write_run(tmp_path / "run", [cell("adam", [1.0, 2.0]), cell("lstm", [0.5, 0.6], learned=True)])
    report = write_report([run], tmp_path / "report")
    page = report.page.read_text(encoding="utf-8")
    assert "Performance profiles" in page
    assert "speed-up, steps of Adam ÷ own" in page
    assert "FLOPs per parameter" in page
    assert (
        (tmp_path / "report" / "tables" / "against_adam.tex").read_text(encoding="utf-8").startswith("\\begin{table}")
    )
