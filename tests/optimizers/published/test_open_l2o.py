"""Open-L2O's pickles become checkpoints without being unpickled, and the rules move as its formulas say."""

import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.optimizers.learned.checkpoint import CheckpointError
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.optimizers.learned.rnnprop import RNNprop
from l2obench.optimizers.published.conversion import convert
from l2obench.optimizers.published.pickled_arrays import parse_pickled_arrays

Arrays = dict[str, dict[str, Any]]


def their_arrays(projected: bool) -> Arrays:
    """Random weights in the layout of Open-L2O's networks."""
    random = np.random.default_rng(0)

    def layer(inputs: int, outputs: int, suffix: str = "") -> dict[str, Any]:
        weight = random.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        return {
            f"w{suffix}": weight.astype("f4"),
            f"b{suffix}": random.normal(scale=0.1, size=outputs).astype("f4"),
        }

    arrays: Arrays = defaultdict(dict)
    if projected:
        arrays["input_projection"] = layer(2, 20)
    arrays["lstm_1"] = layer(40 if projected else 22, 80, "_gates")
    arrays["lstm_2"] = layer(40, 80, "_gates")
    arrays["linear"] = layer(20, 1)
    return arrays


def their_network(arrays: Arrays, x: Any, states: list[Any]) -> Any:
    """Sonnet's deep LSTM on `[coordinates, inputs]`: gates input, candidate, forget, output; forget plus 1."""
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    for k in range(2):
        hidden, cell = states[k]
        gates = (
            np.concatenate([x, hidden], axis=1) @ arrays[f"lstm_{k + 1}"]["w_gates"]
            + arrays[f"lstm_{k + 1}"]["b_gates"]
        )
        i, candidate, f, o = np.split(gates, 4, axis=1)
        cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(candidate)
        x = sigmoid(o) * np.tanh(cell)
        states[k] = (x, cell)
    return (x @ arrays["linear"]["w"] + arrays["linear"]["b"])[:, 0]


def saved(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "cw.l2l-0"
    path.write_bytes(pickle.dumps(value, protocol=3))  # the protocol of their files
    return path


def rule_of(path: Path, tmp_path: Path) -> Any:
    name, content = convert(path)
    out = tmp_path / "out.safetensors"
    out.write_bytes(content)
    return optimizer_registry().create(name, {"checkpoint": str(out)})


@pytest.mark.parametrize("projected", [False, True], ids=["lstm", "rnnprop"])
def test_the_rule_moves_as_their_network_does(projected: bool, tmp_path: Path) -> None:
    arrays = their_arrays(projected)
    rule = rule_of(saved(tmp_path, arrays), tmp_path)
    assert isinstance(rule, RNNprop if projected else LSTM)
    random = np.random.default_rng(1)
    theta = random.normal(size=7)
    states = [(np.zeros((7, 20)), np.zeros((7, 20))) for _ in range(2)]
    mean = square = np.zeros(7)
    params = {"w": torch.from_numpy(theta.copy()).view(1, 1, 7)}
    state = rule.init(params)
    for step in range(1, 31):
        grad = np.sin(theta * step) * 10.0 ** random.uniform(-4, 1, size=7)
        if projected:
            mean, square = 0.95 * mean + 0.05 * grad, 0.95 * square + 0.05 * grad**2
            scale = np.sqrt(square / (1 - 0.95**step)) + 1e-8
            inputs = np.stack([mean / (1 - 0.95**step) / scale, grad / scale], axis=1)
            x = inputs @ arrays["input_projection"]["w"] + arrays["input_projection"]["b"]
            move = 0.01 * np.tanh(their_network(arrays, np.where(x > 0, x, np.expm1(np.minimum(x, 0))), states))
        else:
            logarithm = np.maximum(np.log(np.abs(grad) + np.finfo("f4").eps) / 5, -1)
            inputs = np.stack([logarithm, np.clip(grad * np.exp(5), -1, 1)], axis=1)
            move = 0.01 * their_network(arrays, inputs, states)
        updates, state = rule.update({"w": torch.from_numpy(grad).view(1, 1, 7)}, state, params)
        theta, params = theta + move, {"w": params["w"] + updates["w"]}
        np.testing.assert_allclose(params["w"].flatten().numpy(), theta, atol=1e-6)


def test_the_checkpoint_says_where_it_comes_from(tmp_path: Path) -> None:
    recipe = rule_of(saved(tmp_path, their_arrays(False)), tmp_path).recipe
    assert recipe["source"].startswith("VITA-Group/Open-L2O")
    assert (recipe["licence"], recipe["converted_from"]) == ("MIT", "cw.l2l-0")


def test_arrays_keep_their_names_and_values(tmp_path: Path) -> None:
    arrays = their_arrays(True)
    found = parse_pickled_arrays(saved(tmp_path, arrays).read_bytes())
    assert found.keys() == {f"{module}/{name}" for module, own in arrays.items() for name in own}
    assert torch.equal(found["linear/w"], torch.from_numpy(arrays["linear"]["w"]))


class Hostile:
    """What runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    arrays = {**their_arrays(False), "other": {"w": Hostile(touched)}}
    with pytest.raises(CheckpointError, match=r"must hold the published weights of .*Open-L2O"):
        convert(saved(tmp_path, arrays))
    assert not touched.exists()
    pickle.loads(pickle.dumps(arrays))
    assert touched.exists()


def changed(**modules: Any) -> Arrays:
    return {**their_arrays(False), **modules}


NAN = np.full((20, 1), np.nan, dtype="f4")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a text", "must be a pickle file of named float32 arrays"),
        ({"linear": {"w": 3}}, "linear/w must be an array"),
        ({"linear": {"w": np.ones((20, 1))}}, "linear/w must be an array of float32"),
        ({"linear": {"w": NAN}}, "linear/w must be finite"),
        (changed(linear={"w": np.ones((3, 1), dtype="f4"), "b": np.ones(1, dtype="f4")}), "linear/w"),
        ({"linear": np.ones(3, dtype="f4")}, "must be a pickle file of named float32 arrays"),
        ({str(k): {} for k in range(20_000)}, "must be a pickle file of named float32 arrays"),
    ],
)
def test_other_pickles_are_refused_in_one_line(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message) as raised:
        convert(saved(tmp_path, value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 1, 2, 100, 5000, -2])
def test_a_file_that_is_cut_is_refused(kept: int) -> None:
    content = pickle.dumps(their_arrays(False), protocol=3)
    with pytest.raises(TensorFileError):
        parse_pickled_arrays(content[:kept])
