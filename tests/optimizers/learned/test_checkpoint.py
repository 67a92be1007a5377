"""Checkpoints come from outside: whatever is wrong with one ends in one clear line, and nothing is unpickled."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import save

from l2obench.api.loading import load
from l2obench.bench.config.registry import identify, optimizer_registry
from l2obench.foundation.own_file import MAX_BYTES
from l2obench.optimizers import rule_of_checkpoint, shipped_checkpoints
from l2obench.optimizers.base import CoordinatewiseOptimizer
from l2obench.optimizers.learned.checkpoint import CheckpointError, encode_checkpoint, read_checkpoint
from l2obench.optimizers.learned.lstm import LSTM

SMALL = LSTM(hidden=3, layers=1)


def encoded(**changes: object) -> bytes:
    rule = SMALL.initialised(torch.Generator().manual_seed(0))
    content = {
        "optimizer": "lstm",
        "hyperparameters": rule.describe_architecture(),
        "recipe": {"task": "quadratic"},
        "tensors": rule.meta_parameters,
    }
    return encode_checkpoint(**(content | changes))  # type: ignore[arg-type]


def written(folder: Path, content: bytes) -> str:
    path = folder / "it.safetensors"
    path.write_bytes(content)
    return str(path)


def load_error(name: str, **parameters: object) -> str:
    with pytest.raises((ValidationError, CheckpointError)) as caught:
        LSTM(checkpoint=name, **parameters)
    return str(caught.value)


def test_round_trip_keeps_architecture_weights_and_recipe(tmp_path: Path) -> None:
    rule = SMALL.initialised(torch.Generator().manual_seed(0))
    name = written(tmp_path, encoded())
    loaded = LSTM(checkpoint=name)
    assert (loaded.hidden, loaded.layers) == (3, 1)
    for key, tensor in rule.meta_parameters.items():
        torch.testing.assert_close(loaded.meta_parameters[key], tensor, rtol=0, atol=0)
    assert read_checkpoint(name).recipe == {"task": "quadratic"}
    assert loaded.checkpoint_sha256 == read_checkpoint(name).sha256


def test_same_content_same_bytes() -> None:
    assert encoded() == encoded()


def test_given_parameter_that_agrees_is_accepted_and_one_that_contradicts_is_not(tmp_path: Path) -> None:
    name = written(tmp_path, encoded())
    assert LSTM(checkpoint=name, hidden=3).hidden == 3
    assert "trained with hidden=3, not 20" in load_error(name, hidden=20)
    assert "trained with" in load_error(name, preset="deepmind-release")


def test_missing_file_and_unknown_name() -> None:
    assert "cannot be read" in load_error("/nowhere/it.safetensors")
    assert "no checkpoint is called 'mnits'" in load_error("mnits")


@pytest.mark.parametrize("length", [0, 5, 8, 100, 500, -1])
def test_truncated_file(tmp_path: Path, length: int) -> None:
    assert "it.safetensors" in load_error(written(tmp_path, encoded()[:length]))


@given(position=st.integers(0, 1200), value=st.integers(0, 255))
def test_any_flipped_byte_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    content = bytearray(encoded())
    content[position % len(content)] = value
    name = written(tmp_path_factory.mktemp("flip"), bytes(content))
    try:
        LSTM(checkpoint=name)
    except (ValidationError, CheckpointError) as error:
        assert "it.safetensors" in str(error)  # noqa: PT017 - either outcome is allowed, a traceback is not


def test_pickle_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    assert "safetensors" in load_error(written(tmp_path, pickle.dumps(Bomb())))
    assert not (tmp_path / "exploded").exists()


def test_absurd_header_and_size(tmp_path: Path) -> None:
    assert "claims" in load_error(written(tmp_path, struct.pack("<Q", 2**62) + b"{}"))
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "at most" in load_error(str(huge))


def test_foreign_safetensors(tmp_path: Path) -> None:
    assert "no checkpoint of l2obench" in load_error(written(tmp_path, save({"x": torch.ones(2)})))


def test_other_format(tmp_path: Path) -> None:
    metadata = {"format": 99, "optimizer": "lstm", "hyperparameters": {}, "recipe": {}}
    content = save({"x": torch.ones(2)}, metadata={"l2obench": json.dumps(metadata)})
    assert "must be a checkpoint of format 1, got format 99" in load_error(written(tmp_path, content))


def test_wrong_optimizer_architecture_shape_type_and_values(tmp_path: Path) -> None:
    phi = SMALL.initialised(torch.Generator()).meta_parameters
    architecture = SMALL.describe_architecture()
    for changes, message in [
        ({"optimizer": "rnnprop"}, "holds a 'rnnprop' optimizer"),
        ({"hyperparameters": architecture | {"lr": 3}}, "not part of the architecture"),
        ({"hyperparameters": architecture | {"hidden": -1}}, "out of range"),
        ({"hyperparameters": architecture | {"hidden": 4}}, "does not fit its architecture"),
        ({"tensors": phi | {"extra": torch.ones(1)}}, "['extra'] missing or unknown"),
        ({"tensors": phi | {"output.bias": torch.ones(1).double()}}, "torch.float64"),
        ({"tensors": phi | {"output.bias": torch.tensor([float("nan")])}}, "must be finite, got NaN"),
    ]:
        assert message in load_error(written(tmp_path, encoded(**changes)))


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_shipped_checkpoints_load_and_carry_their_recipe(name: str) -> None:
    checkpoint = read_checkpoint(name)
    assert checkpoint.optimizer == rule_of_checkpoint(name)
    assert optimizer_registry().create(f"{checkpoint.optimizer}[checkpoint={name}]").meta_parameters
    assert {"task", "trajectories", "seed", "versions", "commit", "validation_loss"} <= checkpoint.recipe.keys()
    # None: trained from a copy of the package that was no repository.
    assert checkpoint.recipe["dirty"] in (False, None)


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_checkpoints_name_stands_for_its_rule_with_it(name: str) -> None:
    rule = optimizer_registry().create(name)
    assert identify(rule) == f"{rule_of_checkpoint(name)}[checkpoint={name}]"
    if not isinstance(rule, CoordinatewiseOptimizer):
        return
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    parameter.grad = torch.full((2, 2), 0.1)
    load(name, [parameter], lr=0.5).step()
    expected = torch.nn.Parameter(torch.ones(2, 2))
    expected.grad = torch.full((2, 2), 0.1)
    load(rule_of_checkpoint(name), [expected], checkpoint=name, lr=0.5).step()
    assert torch.equal(parameter, expected)
    assert not torch.equal(parameter, torch.ones(2, 2))


@pytest.mark.parametrize("networks", ["one", "conv-fc"])
def test_random_meta_parameters_are_the_same_every_time_and_named(networks: str) -> None:
    identity = "lstm[checkpoint=random,hidden=3" + (",networks=conv-fc]" if networks == "conv-fc" else "]")
    one, other = (optimizer_registry().create(identity) for _ in range(2))
    assert identify(one) == identity
    assert one.meta_parameters.keys() == one.meta_shapes().keys()
    assert all(torch.equal(one.meta_parameters[name], other.meta_parameters[name]) for name in one.meta_parameters)
    assert one.checkpoint_sha256 is None
    assert not one.recipe
