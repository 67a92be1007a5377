"""The sentences on time to the target and on floors."""

import math

import pandas as pd
import pytest

from l2obench.reports.sections.caveats import floor_sentences
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


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["recorded"], []),
        (["registered"], ["The results record no floor below which losses of t0 are equal: those of the installed"]),
        (["default", "default"], ["The results record no floor below which losses of 2 tasks are equal: 1e-12 is"]),
    ],
)
def test_a_floor_that_was_not_recorded_is_named(sources: list[str], said: list[str]) -> None:
    cells = pd.DataFrame({"task": [f"t{k}" for k in range(len(sources))], "floor_from": sources})
    found = floor_sentences(cells)
    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))
