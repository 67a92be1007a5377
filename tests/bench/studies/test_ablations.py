"""What is left out of the general optimizer is left out, and its worth is a ratio over several trainings."""

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from l2obench.bench.studies import ablations
from l2obench.bench.studies.ablations import COLUMNS, SHIPPED, UNTRAINED, VARIANTS, WHOLE, compare, measure, recipe_of

TINY = {
    "trajectories": 2,
    "families": 1,
    "min_horizon": 2,
    "max_horizon": 3,
    "validate_every": 2,
    "validation_functions": 2,
    "validation": ["quadratic[dim=2,horizon=4]", "sinusoid[units=2,horizon=3]"],
    "heldout_share": 0.0,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_differs_from_the_whole_in_one_part(variant: str) -> None:
    whole, found = recipe_of(VARIANTS[WHOLE], 1), recipe_of(VARIANTS[variant], 1)
    same = {"seed", "sigma", "pairs", "objective", "weighting", "lr", "validation"}
    changed = {name for name, value in found.model_dump().items() if value != getattr(whole, name)}
    assert not changed & same
    assert bool(changed) == (variant != WHOLE)


def test_truncations_are_as_many_steps_of_as_many_trajectories() -> None:
    whole, found = recipe_of(VARIANTS[WHOLE], 0), recipe_of(VARIANTS["PES on truncations"], 0)
    assert found.trajectories * found.families == whole.trajectories * whole.families
    assert all("horizon=100" in family for family in found.mixture or ())


def test_a_ratio_is_over_tasks_and_its_interval_over_trainings() -> None:
    """By the formula of Student's interval, written out."""
    rows = [(WHOLE, seed, task, 0.1) for seed in range(3) for task in "ab"]
    factors = {0: (2.0, 8.0), 1: (1.0, 4.0), 2: (4.0, 4.0)}
    rows += [("no cap", seed, task, 0.1 * factors[seed][k]) for seed in range(3) for k, task in enumerate("ab")]
    (found,) = compare(pd.DataFrame(rows, columns=list(COLUMNS))).to_dict("records")
    means = [math.log2(a * b) / 2 for a, b in factors.values()]  # 2, 1, 2
    spread = math.sqrt(sum((mean - 5 / 3) ** 2 for mean in means) / 2 / 3)
    assert found["ratio"] == pytest.approx(2 ** (5 / 3))
    assert found["high"] == pytest.approx(2 ** (5 / 3 + stats.t.ppf(0.975, 2) * spread))
    assert (found["a"], found["b"]) == (pytest.approx(2.0), pytest.approx(2 ** (7 / 3)))


def test_one_training_decides_nothing_and_divergence_is_no_number() -> None:
    rows = [(WHOLE, 0, "a", 0.1), ("no cap", 0, "a", math.inf)]
    (found,) = compare(pd.DataFrame(rows, columns=list(COLUMNS))).to_dict("records")
    assert found["ratio"] == math.inf
    (found,) = compare(pd.DataFrame([(WHOLE, 0, "a", 0.1), ("no cap", 0, "a", 0.2)], columns=list(COLUMNS))).to_dict(
        "records"
    )
    assert (found["low"], found["high"]) == (0.0, math.inf)


def test_a_training_is_measured_once_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "SHORT", TINY)
    first = measure("no cap", 0, tmp_path)
    assert set(first) == {"quadratic[dim=2,horizon=4]", "sinusoid[horizon=3,units=2]"}
    # The training is over: it is only measured again.
    assert measure("no cap", 0, tmp_path) == first
    others = [measure(variant, 0, tmp_path) for variant in (UNTRAINED, SHIPPED)]
    assert all(set(other) == set(first) for other in others)
    assert first != others[0] != others[1] != first


def test_a_training_that_diverges_has_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "SHORT", TINY | {"lr": 1e38})
    first = measure("no cap", 0, tmp_path)
    assert math.inf in first.values()
    assert not (tmp_path / "no cap-0" / "checkpoint.safetensors").exists()
    assert measure("no cap", 0, tmp_path) == first


def test_processes_share_the_trainings_and_what_is_in_the_rows_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def pretend(variant: str, seed: int, folder: Path) -> dict[str, float]:
        made.append((variant, seed))
        return {"a": 0.1 + 0.1 * len(made), "b": 0.2}

    monkeypatch.setattr(ablations, "measure", pretend)
    rows, to = tmp_path / "rows.csv", tmp_path / "ablations.csv"
    for part in (1, 0):
        ablations.main(tmp_path, rows, seeds=2, part=part, parts=2)
    assert sorted(made) == sorted((variant, seed) for variant in [SHIPPED, UNTRAINED, *VARIANTS] for seed in range(2))
    content = rows.read_text()
    # A kill cut the last training off in the middle of its rows.
    rows.write_text(content[: content.rstrip().rindex("\n") + 1])
    ablations.main(tmp_path, rows, seeds=2, to=to)
    assert len(made) == 2 * (len(VARIANTS) + 2) + 1
    assert made[-1] == made[-2]
    found = pd.read_csv(to)
    assert found["variant"].tolist() == [SHIPPED, UNTRAINED, *list(VARIANTS)[1:]]
    assert (found["trainings"] == 2).all()
    assert UNTRAINED in capsys.readouterr().out
