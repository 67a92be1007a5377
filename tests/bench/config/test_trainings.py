"""Trainings that a suite compares: their names, their recipes, and a suite that runs what came out of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from l2obench.bench.commands.train_suite import train_suite
from l2obench.bench.config.recipe import Recipe, RecipeError, make_recipe
from l2obench.bench.config.registry import BadParameters
from l2obench.bench.config.shipped import suite_names
from l2obench.bench.config.suite import Suite, SuiteError, load_suite
from l2obench.bench.config.trainings import Trainings
from l2obench.bench.metatrain.session import Session
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.learned.checkpoint import read_checkpoint

SMALL = """
seeds = 3
tracks = ["default"]
optimizers = ["adam"]

[[tasks]]
task = "quadratic[dim=3,horizon=4]"

[[trainings]]
name = "u{unroll}-{weighting}"
rule = "lstm[hidden=2,layers=1]"
task = "quadratic[dim=3,horizon=4]"
settings = { functions = 2, trajectories = 1, validate_every = 1, validation_functions = 2 }
grid = { unroll = [2, 4], weighting = ["final", [1, 0.5]] }
"""
NAMES = ["u2-final", "u2-1_0.5", "u4-final", "u4-1_0.5"]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SMALL)
    return load_suite("mine.toml")


def test_one_recipe_for_every_combination_of_the_grid(suite: Suite) -> None:
    recipes = dict(suite.trainings[0].recipes())
    assert list(recipes) == NAMES
    assert [(recipe.unroll, recipe.weighting) for recipe in recipes.values()] == [
        (2, "final"),
        (2, (1, 0.5)),
        (4, "final"),
        (4, (1, 0.5)),
    ]
    assert {recipe.optimizer for recipe in recipes.values()} == {"lstm[hidden=2,layers=1]"}
    assert {recipe.functions for recipe in recipes.values()} == {2}


def test_a_suite_runs_what_its_trainings_gave(suite: Suite) -> None:
    with pytest.raises(BadParameters, match=r"mine/u2-final/checkpoint.safetensors: it cannot be read"):
        suite.cells()
    for name, recipe in suite.trainings[0].recipes():
        Session(Path("results/training/mine") / name, recipe).run()
    optimizers = [cell.optimizer for cell in suite.cells()]
    assert [optimizer.name for optimizer in optimizers] == ["adam", *["lstm"] * 4]
    assert [optimizer.recipe["weighting"] for optimizer in optimizers[1:]] == ["final", [1.0, 0.5]] * 2

    Path("results/training/mine").rename("elsewhere")
    assert [cell.optimizer.checkpoint for cell in suite.with_checkpoints(Path("elsewhere")).cells()[1:]] == [
        f"elsewhere/{name}/checkpoint.safetensors" for name in NAMES
    ]


def test_the_command_trains_those_that_are_asked_for(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    train_suite("mine.toml", only="u2-*")
    told = capsys.readouterr().out
    assert sorted(path.name for path in Path("results/training/mine").iterdir()) == NAMES[:2][::-1]
    train_suite("mine.toml", only="u2-*")
    assert capsys.readouterr().out == "".join(line for line in told.splitlines(True) if "best validation loss" in line)


def test_optimizers_of_the_command_line_take_the_place_of_trainings(suite: Suite) -> None:
    assert [cell.optimizer.name for cell in suite.narrow(None, ["sgd"], None).cells()] == ["sgd"]


@pytest.mark.parametrize("name", [name for name in suite_names() if load_suite(name).trainings])
def test_the_trainings_of_shipped_suites_are_shipped_with_their_recipes(name: str) -> None:
    trained = dict(recipe for trainings in load_suite(name).trainings for recipe in trainings.recipes())
    assert sorted(f"{name}/{training}" for training in trained) == shipped_checkpoints(name)
    for training, recipe in trained.items():
        kept = read_checkpoint(f"{name}/{training}").recipe
        earlier = make_recipe({key: value for key, value in kept.items() if key in Recipe.model_fields})
        assert earlier == recipe.model_copy(update={"task": kept["task"]})


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("same", {"seed": [0, 1]}),
        ("u{unrol}", {"unroll": [1]}),
        ("{seed}", {"seed": [1, 1]}),
        ("{teacher}", {"teacher": [".."]}),
    ],
)
def test_names_must_tell_trainings_apart_and_stay_in_their_folder(name: str, grid: dict[str, list[Any]]) -> None:
    with pytest.raises(ValidationError, match="expected all parameters of the grid in the name"):
        Trainings(name=name, rule="lstm", task="quadratic", grid=grid)


def test_a_name_cannot_leave_its_folder() -> None:
    for name in ("../x", "a/b", "/x", ""):
        with pytest.raises(ValidationError, match="pattern"):
            Trainings(name=name, rule="lstm", task="quadratic")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unrol": 5}, "unrol"),
        ({"unroll": 0}, "unroll"),
        ({"weighting": [0, 0]}, "must be zero or more"),
    ],
)
def test_a_wrong_setting_is_explained(settings: dict[str, object], message: str) -> None:
    trainings = Trainings(name="x", rule="lstm", task="quadratic", settings=settings)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=message):
        list(trainings.recipes())


def test_a_suite_says_what_is_wrong_with_its_trainings(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(SMALL.replace("u{unroll}-", ""))
    with pytest.raises(SuiteError, match=r"\{unroll\}, \{weighting\}"):
        load_suite(str(path))


COMMON = """
[[tasks]]
task = "quadratic"

[each_training]
rule = "lstm"
task = "quadratic"
settings = { functions = 2, unroll = 5 }

[[trainings]]
name = "first"

[[trainings]]
name = "second"
task = "quadratic[dim=3]"
settings = { unroll = 10 }
"""


def test_what_trainings_have_in_common_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "common.toml"
    path.write_text(COMMON)
    recipes = dict(recipe for trainings in load_suite(str(path)).trainings for recipe in trainings.recipes())
    expected = {"first": ("quadratic", 2, 5), "second": ("quadratic[dim=3]", 2, 10)}
    assert {name: (recipe.task, recipe.functions, recipe.unroll) for name, recipe in recipes.items()} == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("settings = { functions = 2, unroll = 5 }", "settings = 3", "each_training: expected a table"),
        ("[each_training]", "[[each_training]]", "each_training: expected a table"),
        ('rule = "lstm"\n', "", r"trainings.*rule is required"),
        ('rule = "lstm"\n', 'rool = "lstm"\n', "rool"),
        (COMMON[COMMON.index("[[trainings]]") :], "", "there are no trainings"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(COMMON.replace(old, new))
    with pytest.raises(SuiteError, match=message):
        load_suite(str(path))
