"""Names: ours, plugins' and dotted paths; what is unknown or claimed twice answers with help."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest

from l2obench import optimizers, tasks
from l2obench.bench.config.entries import collect_entries
from l2obench.bench.config.registry import (
    BadParameters,
    Registry,
    UnknownName,
    identify,
    identify_functions,
    optimizer_registry,
    task_registry,
)
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic


class Mine(SGD):
    """A stranger's rule."""

    name = "mine"


@pytest.mark.parametrize("name", [*tasks.FAMILIES, *optimizers.RULES])
def test_every_registered_name_is_the_name_of_its_class(name: str) -> None:
    registry = task_registry() if name in tasks.FAMILIES else optimizer_registry()
    assert registry.resolve(name).name == name


def test_identity_leaves_defaults_out() -> None:
    task = task_registry().create("mnist-mlp[units=20,activation=relu,horizon=200]")
    assert identify(task) == "mnist-mlp[activation=relu,horizon=200]"
    assert identify(task_registry().create("mnist-mlp[data=mnist5k]")) == "mnist-mlp"


def test_a_tuple_is_written_as_a_list() -> None:
    rule = optimizer_registry().create("torch.optim.Adam[lr=0.1,betas=[0.80,0.99]]")
    assert rule.betas == (0.8, 0.99)
    assert identify(rule) == "torch.optim.Adam[betas=[0.8,0.99],lr=0.1]"
    assert identify(optimizer_registry().create("torch.optim.Adam[betas=[0.9,0.999]]")) == "torch.optim.Adam"


def test_seeds_do_not_depend_on_the_horizon() -> None:
    long, short = (
        task_registry().create("mnist-mlp[horizon=200,units=40]"),
        task_registry().create("mnist-mlp[units=40]"),
    )
    assert identify_functions(long) == identify_functions(short) == "mnist-mlp[units=40]"


def test_unknown_names_answer_with_the_nearest_and_the_list() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean adam.*Known: adafac-mlp, adafactor, adam, adamw, .*cosine"):
        optimizer_registry().create("adamm")
    with pytest.raises(BadParameters, match=r"Did you mean activation"):
        task_registry().create("mnist-mlp[activaton=relu]")


def test_wrong_types_and_ranges_say_what_was_expected() -> None:
    with pytest.raises(BadParameters, match=r"dim must be .*integer.*, got 'x'"):
        task_registry().create("quadratic[dim=x]")
    with pytest.raises(BadParameters, match=r"activation must be .*sigmoid.*, got 'swish'"):
        task_registry().create("mnist-mlp[activation=swish]")
    with pytest.raises(BadParameters, match=r"lr must be greater than 0, got -1"):
        optimizer_registry().create("adam[lr=-1]")


def test_dotted_paths() -> None:
    sys.modules["strangers"] = types.ModuleType("strangers")
    sys.modules["strangers"].Mine = Mine  # type: ignore[attr-defined]
    for path in ("strangers.Mine", "strangers:Mine"):
        rule = optimizer_registry().create(f"{path}[lr=0.5]")
        assert (identify(rule), rule.lr) == (f"{path}[lr=0.5]", 0.5)
    assert optimizer_registry().create("torch.optim.Rprop").name == "torch.optim.Rprop"
    with pytest.raises(UnknownName, match="cannot be imported"):
        optimizer_registry().create("torch.optim.Nothing")
    with pytest.raises(UnknownName, match="cannot be imported"):
        task_registry().create("no.such.module.Task")
    with pytest.raises(UnknownName, match=r"must be a subclass of l2obench\.tasks\.base\.Task"):
        task_registry().create("torch.optim.Adam")


def test_a_plugin_is_found_by_its_entry_point() -> None:
    plugin = EntryPoint("mine", "l2obench.tasks.quadratic:Quadratic", "l2obench.tasks")
    registry = Registry("task", collect_entries({}, [plugin]))
    assert isinstance(registry.create("mine[dim=3]"), Quadratic)


def test_two_plugins_with_one_name_are_named_when_it_is_asked_for() -> None:
    plugins = [EntryPoint("mine", f"somewhere:{name}", "l2obench.tasks") for name in ("A", "B")]
    registry = Registry("task", collect_entries(tasks.FAMILIES, plugins))
    assert isinstance(registry.create("quadratic"), Quadratic)
    with pytest.raises(UnknownName, match=r"two tasks are called 'mine', by somewhere:A and by somewhere:B"):
        registry.create("mine")


def test_a_plugin_cannot_take_one_of_our_names() -> None:
    registry = Registry(
        "task", collect_entries(tasks.FAMILIES, [EntryPoint("quadratic", "evil:Task", "l2obench.tasks")])
    )
    with pytest.raises(UnknownName, match="two tasks are called 'quadratic', by l2obench and by evil:Task"):
        registry.create("quadratic")
