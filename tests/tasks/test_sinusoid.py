"""Sine waves: torch's layers as the reference, the functions that the paper states, learned starts from outside."""

import math
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import save
from torch.nn.functional import linear

from l2obench.bench.config.registry import BadParameters, identify, identify_functions, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.run.cell import describe
from l2obench.foundation.own_file import MAX_BYTES
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks import shipped_starts
from l2obench.tasks.base import Tensors
from l2obench.tasks.sinusoid import Sinusoid
from l2obench.tasks.start import StartError, encode_start, read_start
from tests.tasks.replicas import assert_gradient_by_hand, stacked

SMALL = {"units": 3, "layers": 1}


def small_start(**changes: torch.Tensor) -> Tensors:
    return Sinusoid(**SMALL).sample(torch.Generator().manual_seed(7)).params | changes


def written(folder: Path, content: bytes) -> str:
    path = folder / "it.safetensors"
    path.write_bytes(content)
    return str(path)


def test_loss_is_the_squared_error_of_the_network_on_the_wave() -> None:
    task = Sinusoid(units=4)
    params, batch = stacked(task, 1, 1)
    one = {name: value[0, 0] for name, value in params.items()}
    hidden = batch["x"][0]
    for k in range(2):
        hidden = torch.relu(linear(hidden, one[f"w{k}"], one[f"b{k}"]))
    expected = (linear(hidden, one["w2"], one["b2"])[:, 0] - batch["y"][0]).square().mean()
    torch.testing.assert_close(task.loss(one, {name: value[0] for name, value in batch.items()}), expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_backpropagation_by_hand_equals_autograd(activation: str) -> None:
    task = Sinusoid(units=5, layers=2, activation=activation, batch=4)
    params, batch = stacked(task, 2, 3)
    assert_gradient_by_hand(task, params, batch)


@given(st.integers(0, 10_000))
def test_functions_and_points_are_those_of_the_paper(seed: int) -> None:
    task = Sinusoid()
    problem = task.sample(torch.Generator().manual_seed(seed))
    amplitude, phase = float(problem.data["amplitude"]), float(problem.data["phase"])
    assert 0.1 <= amplitude <= 5
    assert 0 <= phase <= math.pi
    assert {name: tuple(value.shape) for name, value in problem.params.items()} == {
        "w0": (40, 1),
        "b0": (40,),
        "w1": (40, 40),
        "b1": (40,),
        "w2": (1, 40),
        "b2": (1,),
    }
    batch = Problems(task, [seed]).minibatch()
    x, y = batch["x"][0, :, 0], batch["y"][0]
    assert len(x) == 10
    assert float(x.abs().max()) <= 5
    torch.testing.assert_close(y, amplitude * torch.sin(x + phase))


def test_a_start_changes_where_a_function_begins_and_nothing_else(tmp_path: Path) -> None:
    params = small_start()
    path = written(tmp_path, encode_start({"method": "maml"}, params))
    random, learned = Sinusoid(**SMALL), Sinusoid(**SMALL, start=path, horizon=5)
    assert identify_functions(random) == identify_functions(learned) == "sinusoid[layers=1,units=3]"
    assert identify(learned) == f"sinusoid[horizon=5,layers=1,start={path},units=3]"
    one, other = (Problems(task, [3, 4]) for task in (random, learned))
    for name, value in params.items():
        assert not torch.equal(one.start[name], other.start[name])
        assert torch.equal(other.start[name], value.expand(2, *value.shape))
    for _ in range(3):
        left, right = one.minibatch(), other.minibatch()
        assert all(torch.equal(left[name], right[name]) for name in ("x", "y"))


def test_results_from_another_start_of_the_same_path_are_not_taken_for_finished(tmp_path: Path) -> None:
    described = []
    for value in (1.0, 2.0, 2.0):
        path = written(tmp_path, encode_start({}, small_start(b0=torch.full((3,), value))))
        described.append(describe(Cell(Sinusoid(**SMALL, start=path), SGD(), "default", 1, 1), RunOptions()))
    assert described[0] != described[1]
    assert described[1] == described[2]


def test_round_trip_keeps_parameters_and_recipe(tmp_path: Path) -> None:
    params, recipe = small_start(), {"method": "reptile", "lr": 0.5}
    content = encode_start(recipe, params)
    assert content == encode_start(recipe, params)
    start = read_start(written(tmp_path, content), "sinusoid")
    assert start.recipe == recipe
    assert start.params.keys() == params.keys()
    assert all(torch.equal(start.params[name], value) for name, value in params.items())
    task = Sinusoid(**SMALL, start=start.source)
    assert task == Sinusoid(**SMALL, start=start.source)
    assert list(task.sources().values()) == [
        {"description": "a learned initialisation", "sha256": start.sha256},
    ]


def refused(folder: Path, content: bytes) -> str:
    """The one line that a start of this content is refused with."""
    with pytest.raises(BadParameters) as caught:
        task_registry().create(f"sinusoid[layers=1,start={written(folder, content)},units=3]")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w0": torch.ones(4, 1)}, "w0 must be torch.float32 [3, 1], got torch.float32 [4, 1]"),
        ({"w0": torch.ones(3, 1).double()}, "got torch.float64"),
        ({"b0": torch.tensor([0.0, float("nan"), 0.0])}, "b0 must be finite, got NaN"),
        ({"b0": torch.ones(0)}, "b0 must be torch.float32 [3], got torch.float32 [0]"),
        ({"extra": torch.ones(1)}, "['extra'] missing or unknown"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(changes: Tensors, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, encode_start({}, small_start(**changes)))


def test_what_is_no_start_is_refused(tmp_path: Path) -> None:
    foreign = save({name: value.contiguous() for name, value in small_start().items()})
    assert "no start of l2obench" in refused(tmp_path, foreign)
    other = save(small_start(), metadata={"l2obench-start": '{"format": 99, "recipe": {}}'})
    assert "must be a start of format 1, got format 99" in refused(tmp_path, other)
    whole = encode_start({}, small_start())
    for content in (b"", b"abc", whole[:20], pickle.dumps({"w0": 1})):
        assert "no safetensors file" in refused(tmp_path, content)
    assert "it is damaged" in refused(tmp_path, whole[:-1])
    with (tmp_path / "huge.safetensors").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(StartError, match="must have at most"):
        read_start(str(tmp_path / "huge.safetensors"), "sinusoid")
    with pytest.raises(StartError, match="cannot be read"):
        read_start(str(tmp_path / "nowhere.safetensors"), "sinusoid")
    with pytest.raises(BadParameters, match=r"no start called 'mamml'; shipped: .*maml"):
        task_registry().create("sinusoid[start=mamml]")


@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_any_flipped_byte_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    content = bytearray(encode_start({"method": "maml"}, small_start()))
    content[position % len(content)] = value
    name = written(tmp_path_factory.mktemp("flip"), bytes(content))
    try:
        Sinusoid(**SMALL, start=name)
    except (ValidationError, StartError) as error:
        assert "it.safetensors" in str(error)  # noqa: PT017 - either outcome is allowed, a traceback is not


@pytest.mark.parametrize("name", shipped_starts("sinusoid"))
def test_shipped_starts_fit_and_carry_their_recipe(name: str) -> None:
    assert identify(task_registry().create(f"sinusoid[start={name}]")) == f"sinusoid[start={name}]"
    recipe = read_start(name, "sinusoid").recipe
    assert recipe["method"] == name
    assert {"task", "trajectories", "functions", "seed", "versions", "commit", "validation_loss"} <= recipe.keys()
    assert recipe["dirty"] is False


def test_families_without_a_start_have_no_shipped_ones() -> None:
    assert shipped_starts("quadratic") == []


@pytest.mark.parametrize("parameters", [{"units": 0}, {"activation": "softmax"}, {"batch": 0}])
def test_bad_parameters_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        Sinusoid(**parameters)
