"""What the first screen says: the claim, and what speaks for and against it, from small hand-made runs."""

import numpy as np
import pytest

from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.reading import read_results
from l2obench.reports.sections.answer import make_cards, make_notes
from l2obench.reports.sections.forest_view import view_forest

UP = np.linspace(1.0, 1.3, 12)


def analysis(tmp_path, write_run, *cells, **manifest) -> Analysis:
    return Analysis(read_results([write_run(tmp_path / "run", cells, **manifest)]))


def pair(cell, ratio, task, seeds=12, **more):
    """A learned optimizer whose losses are so many times the baseline's."""
    base = UP[:seeds]
    learned = {"learned": True, "track": "default", "checkpoint_sha256": "c0"} | more
    return cell("lstm", list(ratio * base), task=task, **learned), cell("adam", list(base), task=task)


@pytest.fixture
def three_tasks(tmp_path, cell, write_run) -> Analysis:
    cells = [*pair(cell, 0.5, "bowl"), *pair(cell, 0.8, "bowl[dim=2]"), *pair(cell, 3.0, "valley")]
    return analysis(tmp_path, write_run, *cells, recipes={"c0": {"task": "bowl"}})


def test_a_card_counts_tasks_and_names_the_worst(three_tasks) -> None:
    (card,) = make_cards(three_tasks)
    assert card.name == "lstm, untuned"
    assert card.claim == "lower training loss than tuned adam on 2 of 3 tasks; typical ratio 0.8×."
    assert card.verdicts == "Verdicts: better 2, worse 1."
    assert "It ends higher on valley (3×)." in card.sentences(favours=False)
    assert "It ends lower on most tasks in 1 of 2 families." in card.sentences(favours=False)
    assert card.fact("New families").sentence == (
        "It ends lower on 1 of 1 tasks it was trained on, 1 of 1 others of these families, 0 of 1 tasks of new "
        "families."
    )
    assert card.fact("Wall-clock time").sentence.startswith("A step takes 1 times adam’s, its update 1 times")


def test_every_fact_stands_on_one_side(three_tasks) -> None:
    (card,) = make_cards(three_tasks)
    assert len(card.sentences(favours=True)) + len(card.sentences(favours=False)) == len(card.facts)
    assert len({fact.name for fact in card.facts}) == len(card.facts)


def test_held_out_loss_speaks_for_itself(tmp_path, cell, write_run) -> None:
    base = list(UP)
    cells = [
        cell("lstm", [0.5] * 12, learned=True, track="default", heldout_loss=2.0),
        cell("adam", base, heldout_loss=1.0),
    ]
    (card,) = make_cards(analysis(tmp_path, write_run, *cells))
    assert "Held-out loss: higher on its only task, typical ratio 2×." in card.sentences(favours=False)
    assert card.claim.startswith("on its only task its training loss ends lower than that of tuned adam")
    assert card.verdicts == "Verdict: better."


def test_too_few_seeds_give_no_verdict_and_say_what_the_count_can_say(tmp_path, cell, write_run) -> None:
    cells = [half for k in range(6) for half in pair(cell, 0.5, f"bowl[dim={k + 1}]", seeds=5)]
    found = analysis(tmp_path, write_run, *cells)
    (card,) = make_cards(found)
    assert card.verdicts == "No task has the seeds for a verdict of its own."
    notes = " ".join(make_notes(found))
    assert "With 5 seeds the tasks have no verdict of their own, which takes 10 seeds." in notes
    assert "A sign test over the 6 tasks of lstm gives p = 0.0312." in notes
    assert "those of one family are related" in notes
    plot = view_forest(found.by_task, found.answers)
    lanes = [item for family in plot["families"] for task in family["tasks"] for item in task["lanes"]]
    assert all(item["lane"].hollow and item["ends"] == "" and item["verdict"] == "5 seeds" for item in lanes)


def test_where_no_corrected_verdict_is_possible_no_difference_is_called_not_shown(tmp_path, cell, write_run) -> None:
    cells = [half for k in range(30) for half in pair(cell, 2.0, f"bowl[dim={k + 1}]", seeds=10)]
    found = analysis(tmp_path, write_run, *cells)
    assert "With 10 seeds and 30 comparisons no corrected p-value can fall below 0.05." in " ".join(make_notes(found))
    (card,) = make_cards(found)
    assert not card.decided
    plot = view_forest(found.by_task, found.answers)
    lanes = [item for family in plot["families"] for task in family["tasks"] for item in task["lanes"]]
    assert {item["verdict"] for item in lanes} == {"not shown"}


def test_failed_seeds_are_counted_and_make_infinite_ratios(tmp_path, cell, write_run) -> None:
    base = list(UP)
    cells = [
        cell("lstm", [float("inf")] * 12, task="bowl", learned=True, track="default"),
        cell("adam", base, task="bowl"),
        *pair(cell, 0.5, "valley"),
    ]
    (card,) = make_cards(analysis(tmp_path, write_run, *cells))
    assert "12 of 24 seeds failed. They count as infinite losses." in card.sentences(favours=False)
    assert "It ends higher on bowl (∞×)." in card.sentences(favours=False)


def test_negative_losses_count_by_their_difference(tmp_path, cell, write_run) -> None:
    cells = [
        cell("lstm", list(-2 * UP), task="well", learned=True, track="default"),
        cell("adam", list(-UP), task="well"),
        *pair(cell, 0.5, "bowl"),
    ]
    found = analysis(tmp_path, write_run, *cells)
    (card,) = make_cards(found)
    assert card.claim == "lower training loss than tuned adam on 2 of 2 tasks; typical ratio 0.5×."
    assert "1 comparison has negative losses." in " ".join(make_notes(found))
    plot = view_forest(found.by_task, found.answers)
    (lane,) = [task["lanes"][0] for family in plot["families"] for task in family["tasks"] if task["task"] == "well"]
    assert (lane["lane"].point, lane["number"][0], lane["verdict"]) == (None, "-", "better")


def test_what_cannot_be_compared_says_so(tmp_path, cell, write_run) -> None:
    found = analysis(tmp_path, write_run, cell("lstm", [1.0] * 12, learned=True, track="default"))
    (card,) = make_cards(found)
    assert card.claim == "no baseline ran on its tasks, so there is nothing to compare it with."
    assert view_forest(found.by_task, found.answers) == {}


def test_a_second_run_says_what_changed(tmp_path, cell, write_run) -> None:
    old = write_run(tmp_path / "old", [half for task in ("bowl", "valley") for half in pair(cell, 0.8, task)])
    new = write_run(tmp_path / "new", [*pair(cell, 0.4, "bowl"), *pair(cell, 0.8, "valley")])
    first, second = make_cards(Analysis(read_results([old, new])))
    assert first.name == "lstm, untuned in old"
    assert not any("Against" in fact.name for fact in first.facts)
    change = second.fact("Against old")
    assert change.favours
    assert change.sentence == (
        "Against old, on 2 common tasks: lower on 1, equal on 1, higher on 0; typical ratio 0.707×. Verdicts: "
        "better 1, worse 0."
    )
