"""Comparisons counted over tasks, the choice of a first screen, and learned optimizers against each other."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.answer import answer_frame, answer_records, cannot_decide, choose, find_answers
from l2obench.reports.numbers.by_task import UNKNOWN
from l2obench.reports.numbers.leaders import count_leaders, leaders
from l2obench.reports.numbers.tally import side_of, tally
from l2obench.reports.reading import read_results

INF = float("inf")
UP = np.linspace(1.0, 1.3, 12)


def rows(*typical, measure="ratio", verdict="no difference", higher=False):
    count = len(typical)
    return pd.DataFrame(
        {"family": [f"f{k % 2}" for k in range(count)], "verdict": [verdict] * count, "measure": [measure] * count}
        | {"typical": list(typical), "higher_is_better": [higher] * count}
    )


class TestTally:
    def test_counts_sides_and_takes_the_median_of_the_ratios(self) -> None:
        found = tally(rows(0.5, 2.0, 1.0, 0.1, INF))
        assert (found.tasks, found.lower, found.equal, found.higher) == (5, 2, 1, 2)
        assert (found.ratio, found.ratio_q25, found.ratio_q75) == (1.0, 0.5, 2.0)

    def test_infinite_ratios_keep_their_place(self) -> None:
        assert tally(rows(0.5, INF, INF)).ratio == INF
        assert tally(rows(0.5, 0.6, INF)).ratio == 0.6

    def test_differences_have_a_side_and_no_ratio(self) -> None:
        found = tally(pd.concat([rows(0.5), rows(-1.0, 2.0, measure="difference")]))
        assert (found.lower, found.higher, found.ratios, found.ratio) == (2, 1, 1, 0.5)

    def test_of_an_accuracy_the_higher_one_is_better(self) -> None:
        found = tally(rows(0.1, 0.2, -0.1, 0.0, measure="difference", higher=True))
        assert (found.lower, found.equal, found.higher) == (2, 1, 1)

    def test_what_was_not_compared_does_not_count(self) -> None:
        mixed = pd.concat([rows(0.5), rows(np.nan, verdict="not comparable: no baseline ran")])
        assert tally(mixed).tasks == 1
        assert tally(rows(np.nan, verdict="not comparable: no common seeds")) is None

    def test_families_are_lower_where_most_of_their_tasks_are(self) -> None:
        found = tally(rows(0.5, 2.0, 0.5, 2.0, 2.0))  # f0 has 0.5, 0.5, 2.0; f1 has 2.0, 2.0
        assert (found.families, found.families_lower) == (2, 1)

    def test_sign_test_leaves_equal_tasks_out(self) -> None:
        assert tally(rows(0.5, 0.5, 0.5, 1.0, 2.0)).sign_p == pytest.approx(binomtest(3, 4).pvalue)
        assert tally(rows(1.0, 1.0)).sign_p == 1.0

    @given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
    def test_swapping_the_sides_swaps_the_counts(self, ratios) -> None:
        there, back = tally(rows(*ratios)), tally(rows(*(1 / ratio for ratio in ratios)))
        assert (there.lower, there.higher) == (back.higher, back.lower)
        assert there.sign_p == pytest.approx(back.sign_p)
        assert there.lower + there.equal + there.higher == there.tasks

    def test_a_missing_value_has_no_side(self) -> None:
        assert side_of("ratio", float("nan"), False) == 0


def analysis(tmp_path, write_run, cells, **manifest) -> Analysis:
    return Analysis(read_results([write_run(tmp_path / "run", cells, **manifest)]))


def learned(cell, name, ratio, task="bowl", **more):
    return cell(name, list(ratio * UP), task=task, **({"learned": True, "track": "default"} | more))


def test_best_of_class_and_best_of_all_are_counted_apart(tmp_path, cell, write_run) -> None:
    cells = [learned(cell, "lstm", 0.5), cell("adam", list(UP)), cell("l-bfgs", list(0.01 * UP), track="default")]
    uses = {"lstm": "gradients", "adam": "gradients", "l-bfgs": "gradients, curvature"}
    facts = {name: {"uses": text} for name, text in uses.items()}
    (answer,) = analysis(tmp_path, write_run, cells, optimizers=facts).answers
    assert answer.baselines.names == ("l-bfgs",)
    assert answer.baselines.untuned
    assert (answer.training.higher, answer.in_class.lower, answer.other_class) == (1, 1, 1)


def test_trials_of_a_baseline_that_nobody_tuned_are_not_counted(tmp_path, cell, write_run) -> None:
    cells = [learned(cell, "lstm", 0.5), cell("adam", list(UP), track="default")]
    (answer,) = analysis(tmp_path, write_run, cells).answers
    assert answer.trials is None


def test_trials_are_those_of_the_best_baseline(tmp_path, cell, write_run) -> None:
    cells = [learned(cell, "lstm", 5.0), cell("adam", list(UP))]  # two of three rates of the grid are finite
    (answer,) = analysis(tmp_path, write_run, cells).answers
    assert (answer.trials.tasks, answer.trials.median, answer.trials.never) == (1, pytest.approx(4 / 3), 0)


def test_what_training_saw_is_unknown_without_a_recipe(tmp_path, cell, write_run) -> None:
    found = analysis(tmp_path, write_run, [learned(cell, "lstm", 0.5), cell("adam", list(UP))])
    assert set(found.by_task["familiarity"]) == {UNKNOWN}
    assert found.answers[0].familiar == {}


def test_costs_of_a_baseline_that_was_not_timed_are_divided_by_adams(tmp_path, cell, write_run) -> None:
    cells = [
        learned(cell, "lstm", 0.5, seconds=(2e-4, 8e-4)),
        cell("sgd", list(0.1 * UP), seconds=(None, None)),
        cell("adam", list(UP), seconds=(2e-4, 3e-4)),
    ]
    (answer,) = analysis(tmp_path, write_run, cells).answers
    assert answer.times.adam
    assert answer.times.step == pytest.approx(2.0)


def test_a_run_without_step_times_has_no_costs(tmp_path, cell, write_run) -> None:
    cells = [learned(cell, "lstm", 0.5, seconds=(None, None)), cell("adam", list(UP), seconds=(None, None))]
    assert analysis(tmp_path, write_run, cells).answers[0].times is None


def test_the_first_screen_takes_most_tasks_then_the_lowest_ratio(tmp_path, cell, write_run) -> None:
    cells = [cell("adam", list(UP)), cell("adam", list(UP), task="valley")]
    cells += [learned(cell, f"lstm-{k}", 0.1 * (k + 1)) for k in range(6)]
    cells.append(learned(cell, "lstm-5", 0.9, task="valley"))
    found = analysis(tmp_path, write_run, cells).answers
    chosen, others = choose(found, 3)
    assert [answer.optimizer for answer in chosen] == ["lstm-0", "lstm-1", "lstm-5"]
    assert len(others) == 3


def test_records_are_json_and_the_frame_has_a_row_each(tmp_path, cell, write_run) -> None:
    found = analysis(tmp_path, write_run, [learned(cell, "lstm", INF), cell("adam", list(UP))]).answers
    text = json.dumps(answer_records(found), allow_nan=False)
    assert json.loads(text)[0]["training"]["ratio"] is None
    frame = answer_frame(found)
    assert frame["training_tasks"].tolist() == [1]
    assert frame["training_ratio"].tolist() == [INF]


def test_cannot_decide_counts_only_what_has_the_seeds() -> None:
    few = pd.DataFrame({"verdict": ["too few seeds"] * 99, "seeds": 5})
    assert cannot_decide(few) is None
    enough = pd.DataFrame({"verdict": ["no difference"] * 20, "seeds": 10})
    assert cannot_decide(pd.concat([few, enough])) is None
    assert cannot_decide(pd.concat([enough, enough])) == (10, 40)


class TestBetween:
    def test_checkpoints_of_one_run_are_compared_with_those_before(self, tmp_path, cell, write_run) -> None:
        cells = [cell("adam", list(UP))]
        cells += [learned(cell, "a", 0.5), learned(cell, "b", 0.25), learned(cell, "c", 0.5)]
        counts = analysis(tmp_path, write_run, cells).between_counts
        found = {(row.optimizer, row.against): row for row in counts.itertuples()}
        assert set(found) == {("b", "a"), ("c", "a"), ("c", "b")}
        assert found["b", "a"].typical_ratio == pytest.approx(0.5)
        assert found["c", "a"].equal == 1
        assert found["c", "b"].worse == 1

    def test_runs_of_other_versions_of_a_task_are_not_compared(self, tmp_path, cell, write_run) -> None:
        runs = [
            write_run(tmp_path / name, [learned(cell, "a", 0.5, task_version=version), cell("adam", list(UP))])
            for name, version in (("old", 1), ("new", 2))
        ]
        found = Analysis(read_results(runs))
        assert found.between["verdict"].tolist() == ["not comparable: task version 2, not 1"]
        assert found.between_counts.empty


def test_leaders_are_counted_by_task_and_family(tmp_path, cell, write_run) -> None:
    cells = [
        cell(name, [loss] * 2, task=task)
        for task, losses in {"bowl": (1, 2), "bowl[dim=2]": (1, 2), "valley": (2, 1)}.items()
        for name, loss in zip(("adam", "sgd"), losses, strict=True)
    ]
    found = leaders(analysis(tmp_path, write_run, cells).final_losses)
    assert found[["task", "optimizer", "second"]].to_numpy().tolist() == [
        ["bowl", "adam", "sgd"],
        ["bowl[dim=2]", "adam", "sgd"],
        ["valley", "sgd", "adam"],
    ]
    assert count_leaders(found).to_numpy().tolist() == [["adam", 2, 1], ["sgd", 1, 1]]


def test_no_learned_optimizer_no_answer(tmp_path, cell, write_run) -> None:
    found = analysis(tmp_path, write_run, [cell("adam", [1.0, 2.0])])
    assert found.answers == find_answers(found.by_task) == []
    assert answer_frame([]).empty
