"""The cards of the answer: the number shown large is the one that the verdict rests on."""

import numpy as np
import pytest

from l2obench.bench.stats.verdict import verdict
from l2obench.reports.numbers.headline import headline
from l2obench.reports.sections.answer import answers

RANDOM = np.random.default_rng(3)
HARD = np.arange(200) % 10 == 0
BASE = np.where(HARD, 10.0 + np.arange(200) / 100, 1e-3 * RANDOM.lognormal(0, 0.1, 200))
APART = BASE * np.where(HARD, 1.5, 0.01)


def card(frame, cell, losses, baseline, **more):
    cells = frame(
        cell("lstm", list(losses), learned=True, track="default", **more), cell("adam", list(baseline), **more)
    )
    (found,) = answers(headline(cells))
    return found


def test_the_typical_ratio_is_shown_large_and_the_means_beside_it(cell, frame) -> None:
    found = card(frame, cell, [1.0, 1.0, 8.0] * 40, [2.0, 2.0, 10.0] * 40)
    expected = verdict([1.0, 1.0, 8.0] * 40, [2.0, 2.0, 10.0] * 40).comparison
    assert (found.verdict, found.word) == ("better", "better")
    assert (found.typical.name, found.typical.number) == ("typical ratio", f"{expected.typical.estimate:.3g}×")
    assert (found.means.name, found.means.number) == ("ratio of means", f"{expected.means.estimate:.3g}×")
    assert found.typical.number != found.means.number
    assert "too narrow" not in found.sentence


def test_where_the_two_point_apart_the_card_says_mixed_and_both(cell, frame) -> None:
    found = card(frame, cell, APART, BASE)
    assert (found.verdict, found.word) == ("unclear", "mixed")
    assert float(found.typical.number[:-1]) < 1 < float(found.means.number[:-1])
    assert found.typical.words in found.sentence
    assert found.means.words in found.sentence
    mirrored = card(frame, cell, BASE, APART)
    assert mirrored.word == "mixed"
    assert float(mirrored.typical.number[:-1]) > 1 > float(mirrored.means.number[:-1])


@pytest.mark.parametrize(("seeds", "warned"), [(99, True), (100, False)])
def test_under_a_hundred_seeds_the_interval_of_the_means_comes_with_a_word(cell, frame, seeds, warned) -> None:
    found = card(frame, cell, RANDOM.lognormal(0, 1, seeds), RANDOM.lognormal(1, 1, seeds))
    assert ("The interval of the means is too narrow under 100 seeds." in found.sentence) == warned


def test_negative_losses_show_their_typical_difference(cell, frame) -> None:
    found = card(frame, cell, [-2.0] * 12, [-1.5] * 12)
    assert (found.verdict, found.typical.number, found.means) == ("better", "-0.5", None)
    assert "typical difference -0.5" in found.sentence


def test_too_few_seeds_have_numbers_and_no_colour(cell, frame) -> None:
    found = card(frame, cell, [1.0] * 4, [2.0] * 4)
    assert (found.verdict, found.word, found.typical.number) == ("unclear", "too few seeds", "0.5×")


def test_what_cannot_be_compared_has_a_sentence_alone(cell, frame) -> None:
    cells = frame(cell("lstm", [1.0] * 12, learned=True, track="default"))
    (found,) = answers(headline(cells))
    assert (found.typical, found.means) == (None, None)
    assert found.sentence == "lstm on bowl: not comparable: no baseline ran."
