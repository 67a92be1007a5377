"""The sentences on the clock: steps and seconds to the baseline's own loss, told whoever they favour."""

import math

import pandas as pd
import pytest

from reports.answer import clocks

HEADLINE = {"task": "bowl", "optimizer": "lstm", "track": "default", "baseline": "nag", "baseline_track": "tuned"}


def told(steps: float, seconds: float | None, baseline_seconds: float | None = 0.1) -> str:
    reached = pd.DataFrame(
        [
            {"task": "bowl", "optimizer": "nag", "track": "default", "steps": math.inf, "seconds": math.inf},
            {"task": "bowl", "optimizer": "nag", "track": "tuned", "steps": 90.0, "seconds": baseline_seconds},
            {"task": "bowl", "optimizer": "lstm", "track": "default", "steps": steps, "seconds": seconds},
        ]
    )
    (sentence,) = clocks(pd.DataFrame([HEADLINE]), reached)
    return sentence


@pytest.mark.parametrize(
    ("steps", "seconds", "expected"),
    [
        (60.0, 0.5, "in 60 steps, nag in 90: by the clock it is 5 times slower."),
        (60.0, 0.05, "in 60 steps, nag in 90: by the clock it is 2 times faster."),
        (60.0, None, "in 60 steps, nag in 90."),
        (math.inf, math.inf, "lstm does not reach the median final loss of nag on bowl on half of the seeds."),
    ],
)
def test_the_clock_is_told_plainly(steps: float, seconds: float | None, expected: str) -> None:
    assert told(steps, seconds).endswith(expected)


def test_no_learned_optimizer_no_sentence() -> None:
    columns = ["task", "optimizer", "track", "steps", "seconds"]
    assert clocks(pd.DataFrame(columns=[*HEADLINE]), pd.DataFrame(columns=columns)) == []
