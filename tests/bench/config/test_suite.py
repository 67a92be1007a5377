"""Suites: what they plan, and what is said of one that is wrong."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import BadParameters, UnknownName, optimizer_registry
from l2obench.bench.config.shipped import suite_names
from l2obench.bench.config.suite import Cell, Suite, SuiteError, load_suite, make_suite
from l2obench.bench.config.tracks import list_given_rates
from l2obench.optimizers import RULES
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.base import Task


def plan(values: dict[str, object]) -> list[tuple[str, str, str]]:
    return [cell.key for cell in make_suite("test", values).cells()]


def test_cells_are_tasks_by_optimizers_by_tracks() -> None:
    cells = plan(
        {"optimizers": ["sgd"], "tasks": [{"task": "quadratic"}, {"task": "mnist-mlp", "optimizers": ["adam"]}]}
    )
    assert cells == [
        ("quadratic", "sgd", "default"),
        ("quadratic", "sgd", "tuned"),
        ("mnist-mlp", "sgd", "default"),
        ("mnist-mlp", "sgd", "tuned"),
        ("mnist-mlp", "adam", "default"),
        ("mnist-mlp", "adam", "tuned"),
    ]


def test_one_identity_written_twice_is_one_cell() -> None:
    cells = plan({"optimizers": ["sgd", "sgd[lr=1e-3]"], "tracks": ["default"], "tasks": [{"task": "quadratic"}]})
    assert cells == [("quadratic", "sgd", "default")]


def test_seeds_of_a_task_override_the_suites() -> None:
    own = {"task": "quadratic", "seeds": 9, "tuning_seeds": 4}
    values = {"seeds": 5, "tuning_seeds": 3, "optimizers": ["sgd"], "tasks": [own, {"task": "mnist-mlp"}]}
    cells = make_suite("test", values).cells()
    found = {cell.key[0]: (cell.seeds, cell.tuning_seeds) for cell in cells}
    assert found == {"quadratic": (9, 4), "mnist-mlp": (5, 3)}


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_sound(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load_suite(name)
    monkeypatch.chdir(tmp_path)
    for optimizer in suite.optimizers:
        write_its_checkpoint(optimizer)
    assert suite.description
    assert suite.cells()


def write_its_checkpoint(optimizer: str) -> None:
    """Where an optimizer names a file, which the package does not have: one with random weights."""
    rule, values = parse_identity(optimizer)
    if (path := str(values.get("checkpoint", ""))).endswith(".safetensors"):
        random = optimizer_registry().create(rule).initialised(torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
        content = encode_checkpoint(random.name, random.describe_architecture(), {}, random.meta_parameters)
        Path(path).write_bytes(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = [", "is not TOML"),
        ("seeds = 3", "neither tasks nor suites to include"),
        ("tasks = []", "neither tasks nor suites to include"),
        ("include = 3", "include must be a list of suites' names, got 3"),
        ('include = ["quik"]', "Did you mean quick"),
        ('[[tasks]]\ntaks = "quadratic"', "task is required; .*no key is called 'taks'. Did you mean task"),
        ('optimisers = ["sgd"]\n[[tasks]]\ntask = "quadratic"', "Did you mean optimizers"),
        ('seeds = "many"\n[[tasks]]\ntask = "quadratic"', "seeds must be .*integer.*, got 'many'"),
        ('tracks = ["best"]\n[[tasks]]\ntask = "quadratic"', "a track must be default, tuned, budget=N .*, got 'best'"),
    ],
)
def test_wrong_suites_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_suite(str(path))


def test_a_grid_is_every_combination_of_its_values() -> None:
    task = {"task": "mnist-mlp[horizon=50]", "grid": {"units": [10, 20], "activation": ["relu", "sigmoid"]}}
    cells = plan({"optimizers": ["sgd"], "tracks": ["default"], "tasks": [task]})
    assert [name for name, _, _ in cells] == [
        "mnist-mlp[activation=relu,horizon=50,units=10]",
        "mnist-mlp[horizon=50,units=10]",
        "mnist-mlp[activation=relu,horizon=50]",
        "mnist-mlp[horizon=50]",
    ]


def test_a_parameter_in_name_and_grid_is_refused() -> None:
    task = {"task": "mnist-mlp[units=5]", "grid": {"units": [10]}}
    with pytest.raises(SuiteError, match="units is in the task's name and in its grid"):
        plan({"optimizers": ["sgd"], "tasks": [task]})


def test_suite_paper_runs_every_suite_that_the_page_of_the_reproduction_names() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "reproduction.md").read_text(encoding="utf-8")
    named = set(re.findall(r"l2obench run (paper-[\w-]+)", page))
    assert "paper-today" in named
    included = tomllib.loads((root / "bench" / "config" / "suites" / "paper.toml").read_text(encoding="utf-8"))[
        "include"
    ]
    assert set(included) == named
    assert len(load_suite("paper").parts) == len(included)


def settings(cell: Cell) -> tuple[object, ...]:
    return cell.key, cell.seeds, cell.tuning_seeds, cell.halving, cell.heldout_points


def test_a_task_of_the_suite_keeps_its_settings_when_the_suite_is_narrowed() -> None:
    values = {
        "optimizers": ["adam"],
        "tasks": [
            {"task": "mnist-mlp", "grid": {"units": [10, 40]}, "seeds": 7, "tuning_seeds": 2, "halving": True},
            {"task": "quadratic", "optimizers": ["sgd"]},
        ],
    }
    suite = make_suite("test", values)
    whole = {cell.key: cell for cell in suite.cells()}
    for names in (["mnist-mlp[horizon=100,units=40]"], ["quadratic"], ["quadratic", "mnist-mlp[units=10]"]):
        kept = suite.narrow(names, None, None).cells()
        assert kept
        assert all(settings(cell) == settings(whole[cell.key]) for cell in kept)
    assert {cell.optimizer.name for cell in suite.narrow(["quadratic"], None, None).cells()} == {"adam", "sgd"}
    (tuned,) = [cell for cell in suite.narrow(["mnist-mlp[units=40]"], ["nag"], None).cells() if cell.track == "tuned"]
    assert (tuned.seeds, tuned.tuning_seeds, tuned.halving) == (7, 2, True)
    (other,) = suite.narrow(["mnist-mlp[units=20]"], ["sgd[lr=0.1]"], None).cells()
    assert (other.seeds, other.halving) == (suite.seeds, False)


def test_a_task_of_an_included_suite_keeps_its_settings_too() -> None:
    quick = {cell.key: cell for cell in load_suite("quick").cells()}
    whole = make_suite("test", {"include": ["quick"], "optimizers": ["sgd"], "tasks": [{"task": "cifar-cnn"}]})
    kept = whole.narrow(["quadratic", "mnist-mlp[units=5]"], None, None).cells()
    assert [cell.key for cell in kept if cell.task.name == "quadratic"] == [
        key for key in quick if key[0] == "quadratic"
    ]
    assert all(settings(cell) == settings(quick[cell.key]) for cell in kept if cell.task.name == "quadratic")
    assert {cell.optimizer.name for cell in kept if cell.task.name != "quadratic"} == {"sgd"}


def test_an_included_suite_keeps_its_own_settings() -> None:
    whole = make_suite(
        "test", {"include": ["quick"], "optimizers": ["sgd"], "seeds": 3, "tasks": [{"task": "cifar-cnn"}]}
    )
    quick = load_suite("quick")
    assert [cell.key for cell in whole.cells() if cell.task.name != "cifar-cnn"] == [c.key for c in quick.cells()]
    assert {cell.seeds for cell in whole.cells() if cell.task.name == "cifar-cnn"} == {3}
    assert {cell.seeds for cell in whole.narrow(None, None, 7).cells()} == {7}
    assert {cell.optimizer.name for cell in whole.narrow(None, ["adam"], None).cells()} == {"adam"}
    assert {cell.task.name for cell in whole.narrow(["quadratic"], None, None).cells()} == {"quadratic"}


def test_missing_suites() -> None:
    with pytest.raises(SuiteError, match="Did you mean quick"):
        load_suite("quik")
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite("/nowhere/mine.toml")


def test_wrong_names_inside_a_suite() -> None:
    def suite(**values: object) -> Suite:
        return make_suite("test", {"tasks": [{"task": "quadratic"}], "optimizers": ["sgd"], **values})

    with pytest.raises(UnknownName, match="Did you mean quadratic"):
        suite(tasks=[{"task": "quadratics"}]).cells()
    with pytest.raises(BadParameters, match="lr"):
        suite(optimizers=["sgd[lr=0]"]).cells()
    with pytest.raises(SuiteError, match="no optimizers"):
        suite(optimizers=[]).cells()
    with pytest.raises(SuiteError, match="no meta-parameters"):
        suite(optimizers=["lstm"]).cells()


def trained_on(task: str, folder: Path, before: str = "") -> str:
    rule = LSTM(hidden=2, layers=1).initialised(torch.Generator().manual_seed(0))
    path = folder / "trained.safetensors"
    recipe: dict[str, object] = {"task": task} if task else {}
    if before:
        recipe["started_from"] = {"task": before}
    path.write_bytes(encode_checkpoint(rule.name, rule.describe_architecture(), recipe, rule.meta_parameters))
    return f"lstm[checkpoint={path}]"


def unseen(folder: Path, trained: str, tested: str, parameter: str = "labels") -> list[Cell]:
    item = {"task": tested, "unseen": [parameter], "optimizers": ["adam", trained_on(trained, folder)]}
    return make_suite("test", {"tracks": ["default"], "tasks": [item]}).cells()


def test_what_the_training_before_saw_is_seen(tmp_path: Path) -> None:
    optimizer = trained_on("cifar-cnn[labels=5-9]", tmp_path, before="cifar-cnn")
    item = {"task": "cifar-cnn[labels=0-4]", "unseen": ["labels"], "optimizers": [optimizer]}
    with pytest.raises(SuiteError, match="labels=0-4 is to be unseen"):
        make_suite("test", {"tracks": ["default"], "tasks": [item]}).cells()


def test_labels_that_training_held_out_may_be_tested_as_unseen(tmp_path: Path) -> None:
    assert len(unseen(tmp_path, "cifar-cnn[labels=5-9]", "cifar-cnn[labels=0-4]")) == 2


@pytest.mark.parametrize("trained", ["cifar-cnn", "cifar-cnn[labels=0-4]", "cifar-cnn[labels=4-6]"])
def test_a_learned_optimizer_that_saw_what_is_to_be_unseen_is_refused(tmp_path: Path, trained: str) -> None:
    with pytest.raises(SuiteError, match=r"labels=0-4 is to be unseen, but lstm.* was trained on labels="):
        unseen(tmp_path, trained, "cifar-cnn[labels=0-4]")


def test_values_that_are_no_sets_overlap_where_they_are_equal(tmp_path: Path) -> None:
    assert unseen(tmp_path, "mnist-mlp", "mnist-mlp[activation=relu]", "activation")
    with pytest.raises(SuiteError, match="activation=sigmoid is to be unseen"):
        unseen(tmp_path, "mnist-mlp", "mnist-mlp[units=40]", "activation")


@pytest.mark.parametrize(
    ("trained", "parameter", "message"),
    [
        ("quadratic", "labels", "needs optimizers trained on cifar-cnn; .* was trained on quadratic"),
        ("", "labels", "was trained on what its checkpoint does not say"),
        ("cifar-cnn", "label", "no parameter of cifar-cnn is called 'label'. Did you mean labels"),
    ],
)
def test_what_cannot_be_known_to_be_unseen_is_refused(
    tmp_path: Path, trained: str, parameter: str, message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        unseen(tmp_path, trained, "cifar-cnn[labels=0-4]", parameter)


def test_optimizers_of_the_whole_suite_may_have_seen_it(tmp_path: Path) -> None:
    item = {"task": "cifar-cnn[labels=0-4]", "unseen": ["labels"]}
    values = {"tracks": ["default"], "optimizers": [trained_on("cifar-cnn", tmp_path)], "tasks": [item]}
    assert len(make_suite("test", values).cells()) == 1


def test_every_rule_is_counted_in_the_suite_of_what_updates_cost() -> None:
    """But for `meta-sgd`, whose rates are those of one network's parameters."""
    assert {parse_identity(name)[0] for name in load_suite("passes").optimizers} == RULES.keys() - {"meta-sgd"}


@pytest.mark.parametrize("given", ["sgd[lr=0.1]", "sgd[lr=0.001]", "torch.optim.SGD[lr=0.1]"])
def test_a_learning_rate_that_is_given_is_not_tuned(given: str) -> None:
    suite = make_suite("test", {"optimizers": [given, "adam"], "tasks": [{"task": "quadratic"}]})
    tracks = [(cell.optimizer.name, cell.track) for cell in suite.cells()]
    assert tracks == [(given.partition("[")[0], "default"), ("adam", "default"), ("adam", "tuned")]
    first = suite.cells()[0].optimizer
    assert first.model_dump()["lr"] == float(given.partition("=")[2].strip("]"))


def test_what_is_not_tuned_is_listed_once() -> None:
    values = {"optimizers": ["sgd[lr=0.1]", "adam"], "tasks": [{"task": "quadratic"}, {"task": "chained-rosenbrock"}]}
    assert list_given_rates(make_suite("test", values)) == ["sgd[lr=0.1]"]
    assert list_given_rates(make_suite("test", values | {"tracks": ["default"]})) == []
    assert list_given_rates(make_suite("test", values | {"tracks": ["tuned"]})) == ["sgd[lr=0.1]"]


@pytest.mark.parametrize("name", suite_names())
def test_curvature_runs_on_every_task_without_noise(name: str) -> None:
    """Quadratics without noise are solved by rules that estimate curvature: a suite must not leave them out."""
    if name == "published":
        return  # its checkpoints are downloaded, and all of its tasks draw minibatches
    cells = load_suite(name).cells()
    optimizers: dict[str, set[str]] = {}
    for cell in cells:
        if type(cell.task).draw is Task.draw and type(cell.task).stream is Task.stream:
            optimizers.setdefault(cell.key[0], set()).add(cell.key[1])
    for task, names in optimizers.items():
        # The gate's suite compares two checkpoints, and has no baseline at all.
        assert names >= {"l-bfgs", "ncg"} or not any(not cell.optimizer.meta_parameters for cell in cells), task


@pytest.mark.parametrize("name", ["quick", "untuned"])
def test_what_nobody_tunes_is_a_baseline_of_the_first_suites(name: str) -> None:
    untuned = {cell.key[1] for cell in load_suite(name).cells() if cell.track == "default"}
    assert untuned >= {"momentum", "l-bfgs", "relative-muon"}
