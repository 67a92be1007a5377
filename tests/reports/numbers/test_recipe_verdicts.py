"""Recipes over their trainings: which checkpoints are of one recipe, known answers, and what has no verdict."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2obench.bench.stats.recipes import RecipeComparison, compare_recipe, decide_recipes
from l2obench.reports.numbers.recipe_verdicts import recipe_verdicts
from l2obench.reports.numbers.recipes import STAGES, recipe_key
from l2obench.reports.page.build import write_report
from l2obench.reports.sections.recipe_verdicts import sentences

INF = float("inf")
BASE = np.geomspace(0.5, 2.0, 12)
FACTORS = (0.5, 0.6, 0.4, 0.55)


def manifest(**changes):
    """Recipes of four checkpoints that differ in their seed, and in what is changed."""
    recipes = {f"sha{k}": {"task": "bowl", "unroll": 20, "seed": k, "seconds": 10.0 + k} for k in range(4)}
    for sha, change in changes.items():
        recipes[sha] |= change
    return {"run": {"recipes": recipes}}


def rows(cell, factors=FACTORS, baseline=BASE):
    cells = [
        cell(
            f"lstm[checkpoint={k}]", list(factor * baseline), learned=True, track="default", checkpoint_sha256=f"sha{k}"
        )
        for k, factor in enumerate(factors)
    ]
    return [cell("nag", list(baseline)), *cells]


def test_trainings_of_one_recipe_are_read_as_one_optimizer(cell, frame) -> None:
    (row,) = recipe_verdicts(frame(*rows(cell)), manifest()).to_dict("records")
    expected = compare_recipe([factor * BASE for factor in FACTORS], BASE)
    assert (row["trainings"], row["seeds"], row["baseline"], row["verdict"]) == (4, 12, "nag", "better")
    assert (row["typical_low"], row["typical_ratio"], row["typical_high"]) == pytest.approx(
        (expected.typical.low, expected.typical.estimate, expected.typical.high)
    )
    assert (row["lowest"], row["highest"], row["better_than_baseline"]) == (pytest.approx(0.4), pytest.approx(0.6), 4)
    assert row["between_trainings"] == pytest.approx(np.std(np.log(FACTORS), ddof=1))
    assert row["of"] == ", ".join(f"lstm[checkpoint={k}]" for k in range(4))


def test_other_settings_are_another_recipe(cell, frame) -> None:
    found = recipe_verdicts(frame(*rows(cell)), manifest(sha2={"unroll": 5}, sha3={"unroll": 5}))
    assert found["trainings"].tolist() == [2, 2]
    assert found["verdict"].tolist() == ["too few trainings"] * 2
    assert (found["typical_high"] == INF).all()
    alone = recipe_verdicts(frame(*rows(cell)), manifest(sha2={"unroll": 5}, sha3={"unroll": 7}))
    assert alone["trainings"].tolist() == [2]


def test_second_stages_are_alike_where_their_first_ones_are(cell, frame) -> None:
    def second(k, **first):
        begun = {"optimizer": "lstm[hidden=4]", "task": "bowl", "seed": k, "seconds": 5.0 + k, "sha256": f"{k}"} | first
        return {"optimizer": f"lstm[checkpoint=first-{k}]", "started_from": begun}

    changes = {f"sha{k}": second(k) for k in range(4)}
    assert recipe_verdicts(frame(*rows(cell)), manifest(**changes))["trainings"].tolist() == [4]
    changes["sha3"] = second(3, unroll=7)
    assert recipe_verdicts(frame(*rows(cell)), manifest(**changes))["trainings"].tolist() == [3]
    changes["sha3"] = {"started_from": "nonsense"}
    assert recipe_verdicts(frame(*rows(cell)), manifest(**changes))["trainings"].tolist() == [3]


def test_a_recipe_of_before_a_setting_is_that_of_today_with_what_it_was_then() -> None:
    today = {"optimizer": "controller[retreat=false]", "optimizer_version": 4, "task": "bowl", "least_ratio": 1e-6}
    then = {"optimizer": "controller[decay=given]", "optimizer_version": 3, "task": "bowl"}
    assert recipe_key(today | {"optimizer": "controller[decay=given,retreat=false]"}, 9) == recipe_key(then, 9)
    assert recipe_key(today | {"optimizer": "controller[decay=given]"}, 9) != recipe_key(then, 9)
    assert recipe_key(then | {"optimizer_version": "many", "optimizer": "not ["}, 9) != recipe_key(then, 9)


def test_stages_without_end_are_compared_up_to_a_number() -> None:
    recipe: dict[str, object] = {"optimizer": "lstm", "task": "bowl"}
    recipe["started_from"] = recipe
    assert recipe_key(recipe, 9).count("bowl") == STAGES


def test_one_checkpoint_under_two_names_is_one_training(cell, frame) -> None:
    cells = frame(*rows(cell))
    cells["checkpoint_sha256"] = cells["checkpoint_sha256"].replace({"sha1": "sha0", "sha2": "sha0", "sha3": "sha0"})
    assert recipe_verdicts(cells, manifest()).empty


def test_trainings_that_disagree_carry_no_verdict_although_each_does(cell, frame) -> None:
    (row,) = recipe_verdicts(frame(*rows(cell, (0.3, 2.5, 0.5, 1.9))), manifest()).to_dict("records")
    assert (row["verdict"], row["better_than_baseline"]) == ("no difference", 2)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-20, 20), min_size=4, max_size=4))
def test_mirrored_ratios_mirror_the_verdict(cell, frame, exponents) -> None:
    forth, back = (
        recipe_verdicts(frame(*rows(cell, [2.0 ** (sign * k / 8) for k in exponents])), manifest()).iloc[0]
        for sign in (1, -1)
    )
    assert {"better": "worse", "worse": "better"}.get(forth["verdict"], forth["verdict"]) == back["verdict"]
    assert forth["typical_ratio"] * back["typical_ratio"] == pytest.approx(1)
    assert forth["typical_low"] * back["typical_high"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda cells: cells[cells["learned"]], "not comparable: no baseline ran"),
        (lambda cells: cells.assign(seed=cells["seed"].where(~cells["learned"], 99)), "not comparable: 0 common seeds"),
        (lambda cells: cells.assign(final_loss=-cells["final_loss"]), "not comparable: a loss is negative"),
    ],
)
def test_what_cannot_be_compared_says_why(cell, frame, change, verdict) -> None:
    found = recipe_verdicts(change(frame(*rows(cell))), manifest())
    assert found["verdict"].tolist() == [verdict]
    assert sentences(found)[0].endswith(f"is {verdict}.")


def test_failed_seeds_leave_no_verdict(cell, frame) -> None:
    cells = [*rows(cell)[:-1], cell("lstm[checkpoint=3]", [INF, *BASE[1:]], learned=True, checkpoint_sha256="sha3")]
    for row in cells[-1]:
        row["track"] = "default"
    (row,) = recipe_verdicts(frame(*cells), manifest()).to_dict("records")
    assert (row["verdict"], row["failures"], row["typical_ratio"]) == ("seeds failed", 1, INF)


def test_p_values_are_corrected_for_the_number_of_recipes() -> None:
    one = compare_recipe([BASE * factor for factor in (0.9, 0.8, 0.97)], BASE)
    assert 0.02 < one.p_value < 0.2
    (alone,), (among, *_) = decide_recipes([one]), decide_recipes([one] * 4)
    assert among[1] == pytest.approx(min(1.0, 4 * alone[1]))
    unknown = RecipeComparison(2, 10, one.typical, float("nan"), float("nan"))
    assert decide_recipes([one, unknown])[0] == alone
    assert decide_recipes([unknown])[0][0] == "too few trainings"


def test_the_report_says_it_and_single_checkpoints_say_what_they_are(tmp_path, cell, write_run) -> None:
    report = write_report([write_run(tmp_path / "run", rows(cell), **manifest()["run"])], tmp_path / "report")
    page = report.page.read_text()
    assert "On bowl, the recipe of 4 trainings of lstm reaches a lower loss than the best baseline (nag)" in page
    assert "Single trainings have 0.4× to 0.6×." in page
    assert "for\na checkpoint, not for its recipe." in page
    assert "Over 4 trainings, the recipe of lstm is better on 1 of 1 tasks, worse on 0." in page
    assert report.recipes["verdict"].tolist() == ["better"]
