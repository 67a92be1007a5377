"""Wins over Adam, counted by hand: tasks trained on, their kin and those held out."""

from pathlib import Path

import pytest

from l2obench.reports.numbers.wins import wins
from l2obench.reports.page.build import write_report
from l2obench.reports.sections.wins import sentences

INF = float("inf")
MIXTURE = ["bowl", "bowl[dim=3]"]


def manifest(**recipe):
    return {"run": {"recipes": {"abc": {"task": "bowl", "mixture": MIXTURE} | recipe}}}


def table(frame, cell, tasks, manifests=None):
    """`tasks`: final losses of the learned optimizer, of untuned and of tuned Adam, by task."""
    cells = frame(
        *(
            rows
            for task, (learned, untuned, tuned) in tasks.items()
            for rows in (
                cell("lstm", learned, task=task, learned=True, track="default", checkpoint_sha256="abc"),
                cell("adam", untuned, task=task, track="default"),
                cell("adam", tuned, task=task, track="tuned"),
            )
        )
    )
    found = wins(cells, manifest() if manifests is None else manifests)
    return found.set_index(["against", "families"])


LOW, MIDDLE, HIGH = [1.0, 1.1, 0.9, 1.0] * 4, [2.0, 2.1, 1.9, 2.0] * 4, [4.0, 4.1, 3.9, 4.0] * 4
TASKS = {
    "bowl": (LOW, HIGH, MIDDLE),
    "bowl[dim=7]": (MIDDLE, HIGH, LOW),
    "bell": (LOW, HIGH, MIDDLE),
    "bell[dim=2]": ([1.0, INF, 1.0, INF] * 4, HIGH, MIDDLE),
}


def test_counts_by_hand(frame, cell):
    found = table(frame, cell, TASKS)
    untuned, tuned = found.loc["adam, untuned"], found.loc["adam, tuned"]
    assert untuned["tasks"].to_dict() == {"trained on": 1, "others of their kind": 1, "held out": 2, "all": 4}
    assert untuned["lower"].to_dict() == {"trained on": 1, "others of their kind": 1, "held out": 1, "all": 3}
    assert tuned["lower"].to_dict() == {"trained on": 1, "others of their kind": 0, "held out": 1, "all": 2}
    assert tuned["clearly_lower"]["all"] == 2
    assert tuned["clearly_higher"]["all"] == 1, "with failures on half of the seeds nothing is shown"
    assert tuned["failing_tasks"].to_dict() == {"trained on": 0, "others of their kind": 0, "held out": 1, "all": 1}
    assert tuned["median_ratio"]["all"] == pytest.approx(1.0), "the geometric mean of 0.5 and 2"


def test_other_baselines_count_as_well_each_in_its_track(frame, cell):
    cells = frame(
        cell("lstm", MIDDLE, learned=True, track="default", checkpoint_sha256="abc"),
        cell("prodigy", HIGH, track="default"),
        cell("nag", LOW, track="tuned"),
    )
    found = wins(cells, manifest()).set_index(["against", "families"])["lower"].to_dict()
    assert found == {
        (f"{name}, {track}", part): count
        for name, track, count in (("prodigy", "untuned", 1), ("nag", "tuned", 0))
        for part in ("trained on", "all")
    }
    assert sentences(wins(cells, manifest())) == []


def test_what_is_not_clear_counts_for_neither_side(frame, cell):
    found = table(frame, cell, {"bell": ([1.0, 3.0, 1.0, 2.9] * 4, MIDDLE, MIDDLE)}).loc["adam, tuned", "all"]
    assert (found["lower"], found["clearly_lower"], found["clearly_higher"]) == (1, 0, 0)


@pytest.mark.parametrize("manifests", [{}, {"run": {}}, manifest(mixture=None, task=None)])
def test_what_was_trained_on_nothing_known_holds_all_out(frame, cell, manifests):
    found = table(frame, cell, TASKS, manifests).loc["adam, tuned"]
    assert found["tasks"].to_dict() == {"held out": 4, "all": 4}


def test_without_adam_or_a_learned_optimizer_there_is_nothing_to_count(frame, cell):
    assert wins(frame(cell("nag", LOW)), manifest()).empty
    assert wins(frame(cell("lstm", LOW, learned=True, track="default")), manifest()).empty


def test_words(frame, cell):
    said = sentences(table(frame, cell, TASKS).reset_index())
    assert said[1] == (
        "lstm has a lower mean final loss than tuned adam on 2 of 4 tasks and on 1 of the 2 held-out tasks. "
        "It fails on 1 task."
    )
    assert sentences(table(frame, cell, {"bell": TASKS["bell"]}).reset_index()) == []


def test_a_report_has_the_table_and_the_sentences(tmp_path: Path, cell, write_run):
    cells = [
        rows
        for task in ("bowl", "bell")
        for rows in (
            cell("lstm", LOW, task=task, learned=True, track="default", checkpoint_sha256="abc"),
            cell("adam", HIGH, task=task, track="default"),
            cell("adam", MIDDLE, task=task, track="tuned"),
        )
    ]
    report = write_report([write_run(tmp_path / "run", cells, **manifest()["run"])], tmp_path / "report")
    assert (
        "lstm has a lower mean final loss than tuned adam on 2 of 2 tasks and on 1 of the 1 held-out tasks."
        in report.page.read_text()
    )
    assert any(path.name == "wins.csv" for path in report.tables)
