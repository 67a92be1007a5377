"""How sentences write ratios, and the sentences on floors."""

import math

import pandas as pd
import pytest

from l2obench.reports.sections.caveats import floor_sentences
from l2obench.reports.sections.words import format_ratio


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.963, "0.963×"), (1.0, "1×"), (0.0, "0×"), (5e-4, "5·10⁻⁴×"), (9.7e6, "1·10⁷×"), (math.inf, "∞×")],
)
def test_ratios_far_from_one_are_powers_of_ten(ratio: float, text: str) -> None:
    assert format_ratio(ratio) == text


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
