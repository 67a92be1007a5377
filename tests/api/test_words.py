"""The command line and the Python API have the same words: every option of one is an argument of the other."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import l2obench
from l2obench.api.naming import BadArgument
from l2obench.api.planning import plan_run, read_tune
from l2obench.bench.commands.cli import COMMANDS
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.tracks import WAYS

PAIRS: dict[str, Callable[..., Any]] = {
    "run": l2obench.run,
    "check": l2obench.check,
    "train": l2obench.train,
    "report": l2obench.report,
    "leaderboard": l2obench.leaderboard,
}
PLURALS = {"task": "tasks", "optimizer": "optimizers"}
"""What may be given several times is an option in the singular, and an argument in the plural."""
ONLY_COMMAND = {
    "help",
    # Python gives objects.
    "json",
    # A forecast has no results to return.
    "dry_run",
}
ONLY_PYTHON = {
    # On the command line --json turns it off.
    "progress",
}
POSITIONS = {
    "run": {"suite": "suite"},
    "check": {"sides": "base head"},
    "train": {"rule": "optimizer"},
    "report": {"runs": "runs"},
    "leaderboard": {"runs": "runs"},
}
"""Arguments of the command line without a dash → arguments of the function."""


def options(name: str) -> dict[str, Any]:
    """The long spelling of each option of a command, as a word of Python → its default."""
    entries = {key: entry for section in COMMANDS.values() for key, entry in section.items()}
    found = {}
    for parameter in entries[name].load(name).params:
        if parameter.param_type_name == "option":
            spelled = max((word for word in parameter.opts if word.startswith("--")), key=len)
            found[spelled.removeprefix("--").replace("-", "_")] = parameter.default
    return found


def arguments(name: str) -> dict[str, Any]:
    """The arguments of a function → their defaults. Those of `train` include the fields of a recipe."""
    found = {key: value.default for key, value in inspect.signature(PAIRS[name]).parameters.items()}
    if found.pop("settings", None) is not None:
        found |= {key: None for key in Recipe.model_fields if key not in ("task", "mixture", "optimizer")}
    return found


def several(name: str, word: str) -> str:
    """The argument of an option. `check` reads checkpoints with one optimizer."""
    return word if (name, word) == ("check", "optimizer") else PLURALS.get(word, word)


@pytest.mark.parametrize("name", PAIRS)
def test_every_option_is_an_argument_and_the_other_way_round(name: str) -> None:
    positions = {word for words in POSITIONS[name].values() for word in words.split()}
    ours = {several(name, word) for word in options(name).keys() - ONLY_COMMAND}
    assert ours == arguments(name).keys() - ONLY_PYTHON - positions


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_the_same(name: str) -> None:
    ours = {several(name, word): value for word, value in options(name).items()}
    theirs = arguments(name)
    nothing: tuple[Any, ...] = (None, (), "", [])
    for word in ours.keys() & theirs.keys():
        assert ours[word] == theirs[word] or (ours[word] in nothing and theirs[word] in nothing), word


def test_tune_has_the_same_words_and_python_has_true_and_false() -> None:
    assert [read_tune(word) for word in WAYS] == list(WAYS)
    assert (read_tune(True), read_tune(False), read_tune(None)) == ("grid", "off", None)
    with pytest.raises(BadArgument, match=r"tune must be one of grid, halving, off, budget=N, got 'of'. Try: 'off'"):
        read_tune("of")


def test_tune_and_tuning_seeds_change_every_task_of_a_suite() -> None:
    cells = plan_run("quick", tune="halving", tuning_seeds=3)[1].cells()
    assert {(cell.halving, cell.tuning_seeds) for cell in cells} == {(True, 3)}
    assert {cell.track for cell in plan_run("quick", tune="off")[1].cells()} == {"default"}
    assert not any(cell.halving for cell in plan_run("paper-cifar", tune=True)[1].cells())
    assert any(cell.halving for cell in plan_run("paper-cifar")[1].cells())


def test_trained_needs_a_suite_that_trains(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"trained needs a suite with \[\[trainings\]\], got quick"):
        l2obench.run("quick", trained=tmp_path)


def test_resources_are_a_mapping_or_text() -> None:
    for given in ({"GPU": 1.0}, "GPU=1"):
        with pytest.raises(ValueError, match="--resources needs --executor dask"):
            l2obench.run(tasks="quadratic", optimizers="sgd", resources=given)


def test_a_device_that_does_not_work_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="device must be a device that works here, got meta"):
        l2obench.run(tasks="quadratic", optimizers="sgd", device="meta")


def test_results_are_found_by_the_name_of_their_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"tasks": "quadratic[horizon=4]", "seeds": 2, "tune": False, "timing": False, "progress": False}
    l2obench.run(optimizers="sgd", out="results/monday", seeds_at_once=1, **words)  # type: ignore[arg-type]
    assert l2obench.Results("monday").optimizers == ["sgd"]
    with pytest.raises(ValueError, match="neither tuesday nor results/tuesday exists"):
        l2obench.Results("tuesday")


def test_replicates_give_the_best_and_all(tmp_path: Path) -> None:
    brief = {"trajectories": 1, "unroll": 5, "functions": 2, "validation_functions": 2, "progress": False}
    best = l2obench.train("lstm", "quadratic[horizon=5]", out=tmp_path, replicates=2, **brief)
    assert [each.recipe.seed for each in best.replicates] == [0, 1]
    assert best.best_validation == min(each.best_validation for each in best.replicates)
    assert best.checkpoint in {tmp_path / f"replicate-{number}" / "checkpoint.safetensors" for number in (1, 2)}


def test_a_check_writes_its_summaries(tmp_path: Path) -> None:
    words = {"tasks": "quadratic[horizon=4]", "seeds": 12, "tune": False, "timing": False, "progress": False}
    base = l2obench.run(optimizers="sgd", **words)  # type: ignore[arg-type]
    l2obench.check(base, base, junit=tmp_path / "junit.xml", markdown=tmp_path / "summary.md")
    assert (tmp_path / "junit.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("### l2obench check")
