"""Several trainings of a recipe: the interval covers where trainings differ, and one training carries no claim."""

import numpy as np
import pytest

from l2obench.bench.stats.recipes import compare_recipe
from l2obench.bench.stats.signed_rank import signed_ranks

INF = float("inf")


def simulated(random: np.random.Generator, trainings: int, seeds: int, between: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses of trainings `[trainings, seeds]` and of a baseline `[seeds]` that they equal on average."""
    baseline = random.lognormal(0, 2, seeds)
    effects = random.normal(0, between, (trainings, 1)) + random.standard_t(4, seeds) * 0.7
    return baseline * np.exp(effects + random.normal(0, 0.5, (trainings, seeds))), baseline


@pytest.mark.parametrize("between", [0.0, 0.2, 0.75])
@pytest.mark.parametrize(("trainings", "seeds"), [(3, 20), (5, 20), (5, 100), (10, 100)])
def test_the_interval_of_a_recipe_covers(trainings: int, seeds: int, between: float) -> None:
    """Of 400 simulated recipes without an effect, 93 % or more of the intervals hold 1, within the noise of 400."""
    random = np.random.default_rng(5)
    found = [compare_recipe(*simulated(random, trainings, seeds, between)).typical for _ in range(400)]
    assert np.mean([interval.low <= 1 <= interval.high for interval in found]) >= 0.93 - 0.0125


def test_one_training_would_not_do() -> None:
    """One checkpoint's interval, read as the recipe's, holds no difference less than half of the time."""
    random = np.random.default_rng(6)
    held = []
    for _ in range(200):
        losses, baseline = simulated(random, 1, 100, 0.75)
        interval = signed_ranks(np.log(losses[0] / baseline)).typical
        held.append(interval.low <= 0 <= interval.high)
    assert np.mean(held) < 0.5


def test_the_spread_between_trainings_is_found() -> None:
    random = np.random.default_rng(7)
    found = [compare_recipe(*simulated(random, 10, 100, 0.75)).between_trainings for _ in range(100)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.75, rel=0.1)


def test_trainings_that_agree_are_one() -> None:
    baseline = np.random.default_rng(8).lognormal(0, 1, 30)
    found = compare_recipe([baseline / 2] * 3, baseline)
    assert found.typical.estimate == pytest.approx(0.5)
    assert found.typical.high == pytest.approx(0.5)
    assert (found.trainings, found.seeds, found.between_trainings, found.p_value) == (3, 30, 0, 0)


def test_sides_exchanged_mirror_the_ratio() -> None:
    random = np.random.default_rng(9)
    first, baseline = random.lognormal(0.3, 1, (4, 20)), random.lognormal(0, 1, 20)
    forth, back = compare_recipe(first, baseline), compare_recipe(baseline / (first / baseline), baseline)
    assert forth.typical.estimate * back.typical.estimate == pytest.approx(1)
    assert forth.typical.low * back.typical.high == pytest.approx(1)
    assert forth.p_value == pytest.approx(back.p_value)


def test_two_trainings_carry_no_verdict() -> None:
    found = compare_recipe([[1.0, 2.0], [1.0, 3.0]], [2.0, 2.0])
    assert (found.typical.low, found.typical.high) == (0, INF)
    assert np.isnan(found.p_value)


def test_failed_seeds_are_infinite() -> None:
    found = compare_recipe([[1.0, INF], [1.0, 2.0], [1.0, 2.0]], [1.0, 2.0])
    assert (found.typical.estimate, found.typical.low, found.typical.high) == (INF, 0, INF)
    assert compare_recipe([[1.0, 2.0]] * 3, [INF, 2.0]).typical.estimate == 0


@pytest.mark.parametrize(("trainings", "baseline"), [([], [1.0, 2.0]), ([[1.0]], [1.0]), ([[-1.0, 2.0]], [1.0, 2.0])])
def test_what_cannot_be_compared_is_refused(trainings: list[list[float]], baseline: list[float]) -> None:
    with pytest.raises(ValueError, match="recipe must"):
        compare_recipe(trainings, baseline)
