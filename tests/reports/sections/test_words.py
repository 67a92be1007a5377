"""The sentences on time to the target, on held-out data and on busy machines."""

import math

import pandas as pd
import pytest

from l2obench.reports.sections.caveats import held_out_sentences, load_warnings
from l2obench.reports.sections.cost_summary import target_sentences

HEADLINE = {"task": "bowl", "optimizer": "lstm", "track": "default", "baseline": "nag", "baseline_track": "tuned"}


def target_sentence(
    steps: float, seconds: float | None, baseline_time: float | None = 0.1, baseline_steps: float = 90.0
) -> str:
    reached = pd.DataFrame(
        [
            {"task": "bowl", "optimizer": "nag", "track": "default", "steps": math.inf, "seconds": math.inf},
            {"task": "bowl", "optimizer": "nag", "track": "tuned", "steps": baseline_steps, "seconds": baseline_time},
            {"task": "bowl", "optimizer": "lstm", "track": "default", "steps": steps, "seconds": seconds},
        ]
    )
    (sentence,) = target_sentences(pd.DataFrame([HEADLINE]), reached)
    return sentence


@pytest.mark.parametrize(
    ("steps", "seconds", "expected"),
    [
        (60.0, 0.5, "in 60 steps, nag in 90. In wall-clock time lstm is 5 times slower."),
        (60.0, 0.05, "in 60 steps, nag in 90. In wall-clock time lstm is 2 times faster."),
        (60.0, None, "in 60 steps, nag in 90."),
        (math.inf, math.inf, "lstm does not reach the target loss of bowl on half of the seeds."),
    ],
)
def test_time_to_target_is_in_steps_and_in_wall_clock_time(steps: float, seconds: float | None, expected: str) -> None:
    assert target_sentence(steps, seconds).endswith(expected)


def test_a_baseline_that_does_not_reach_the_target_has_no_time() -> None:
    expected = "lstm reaches the target loss of bowl in 60 steps; nag does not reach it on half of the seeds."
    assert target_sentence(60.0, 0.5, math.inf, math.inf) == expected


def test_no_learned_optimizer_no_sentence() -> None:
    columns = ["task", "optimizer", "track", "steps", "seconds"]
    assert target_sentences(pd.DataFrame(columns=[*HEADLINE]), pd.DataFrame(columns=columns)) == []


def test_held_out_numbers_stand_beside_the_baselines() -> None:
    rows = [
        {"task": "bowl", "optimizer": "lstm", "track": "default", "heldout_loss": 0.4, "heldout_accuracy": 0.915},
        {"task": "bowl", "optimizer": "nag", "track": "tuned", "heldout_loss": 0.3, "heldout_accuracy": 0.92},
        {"task": "bowl", "optimizer": "nag", "track": "default", "heldout_loss": 9.0, "heldout_accuracy": 0.1},
    ]
    (sentence,) = held_out_sentences(pd.DataFrame([HEADLINE]), pd.DataFrame(rows))
    assert sentence == (
        "On held-out data of bowl, lstm has loss 0.4 and accuracy 91.5 %; nag has loss 0.3 and accuracy 92.0 %."
    )


def test_a_task_without_held_out_data_has_no_such_sentence() -> None:
    rows = [
        {"task": "bowl", "optimizer": name, "track": track, "heldout_loss": None, "heldout_accuracy": None}
        for name, track in (("lstm", "default"), ("nag", "tuned"))
    ]
    assert held_out_sentences(pd.DataFrame([HEADLINE]), pd.DataFrame(rows)) == []


@pytest.mark.parametrize(("load", "warned"), [(0.3, False), (1.9, False), (2.0, True), (8.7, True), (None, False)])
def test_times_of_a_busy_machine_have_a_warning(load: float | None, warned: bool) -> None:
    quiet = {"environment": {"load": 0.1, "processors": 2}}
    starts = [quiet, {"environment": {"load": load, "processors": 2}}]
    sentences = load_warnings({"run": {"starts": starts}})
    assert bool(sentences) == warned
    assert all(f"{load:.2g} processes for 2 processors" in sentence for sentence in sentences)


def test_a_run_that_does_not_say_how_busy_its_machine_was_has_no_warning() -> None:
    assert load_warnings({"run": {"environment": None}, "other": {}}) == []
