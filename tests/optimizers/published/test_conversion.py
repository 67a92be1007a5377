"""Published weights become checkpoints: VeLO's from its reference implementation, Celo's and Celo2's by their names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from l2obench.bench.commands.cli import main
from l2obench.bench.config.registry import optimizer_registry
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.celo import Celo
from l2obench.optimizers.learned.celo2 import Celo2
from l2obench.optimizers.learned.checkpoint import CheckpointError
from l2obench.optimizers.learned.velo import VeLO
from l2obench.optimizers.published.celo2 import SHAPES as CELO2_SHAPES
from l2obench.optimizers.published.conversion import convert

WEIGHTS = Path(__file__).parent / "velo_reference.msgpack"


def array(values: Any, kind: str = "float32") -> msgpack.ExtType:
    """An array as flax packs it."""
    values = np.asarray(values, dtype=kind)
    return msgpack.ExtType(1, msgpack.packb((values.shape, kind, values.tobytes())))


def celo_file(units: int, with_perceptron: bool) -> bytes:
    """A file with Celo's names and shapes; every value tells which one it is."""
    random = np.random.default_rng(0)
    features = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)
    linear = {
        "linear": (18, units),
        "linear_1": (18, units),
        "linear_2": (18, units),
        "rnn/linear": (2 * units, 4 * units),
    }
    linear["step_size"] = (units, 1)
    if with_perceptron:
        linear["rnn_to_controls"] = (units, 1)
    groups = {
        name: {"w": array(random.normal(size=shape)), "b": array(random.normal(size=shape[1:]))}
        for name, shape in linear.items()
    }
    tree: dict[str, Any] = {
        "rnn_params": groups,
        "lstm_init_state": {part: array(random.normal(size=(1, units))) for part in ("hidden", "cell")},
    }
    if with_perceptron:
        stack = {f"w0__{k}": array(random.normal(size=(1, count, 4))) for k, count in enumerate(features)}
        stack |= {"w1": array(random.normal(size=(1, 4, 4))), "w2": array(random.normal(size=(1, 4, 3)))}
        stack |= {f"b{k}": array(random.normal(size=(1, size))) for k, size in enumerate((4, 4, 3))}
        tree["ff_mod_stack"] = {"~": stack}
    return bytes(msgpack.packb(tree))


@pytest.mark.parametrize(("with_perceptron", "name"), [(True, "celo"), (False, "celo-adam")])
def test_celo_comes_from_its_own_file(with_perceptron: bool, name: str, tmp_path: Path) -> None:
    """Which of the two it is, its size, and every value in its place."""
    path, out = tmp_path / "theta.state", tmp_path / "it.safetensors"
    path.write_bytes(content := celo_file(5, with_perceptron))
    assert run_command("import-weights", path, out) == 0
    rule = optimizer_registry().create(f'{name}[checkpoint="{out}"]')
    assert rule.hidden == 5
    assert rule.recipe["licence"] == "MIT"

    def stored(*keys: str) -> torch.Tensor:
        node = msgpack.unpackb(content)
        for key in keys:
            node = node[key]
        shape, _, values = msgpack.unpackb(node.data, raw=True)
        return torch.from_numpy(np.frombuffer(values, dtype="<f4").reshape(shape).copy())

    phi = rule.meta_parameters
    assert torch.equal(phi["shared.weight"], stored("rnn_params", "linear_1", "w").T)
    assert torch.equal(phi["input.bias"], stored("rnn_params", "linear_2", "b"))
    theirs = stored("rnn_params", "rnn/linear", "b")
    assert torch.equal(phi["lstm.bias"][:5], theirs[:5])  # the input gate is first in both
    assert torch.equal(phi["lstm.bias"][5:10], theirs[10:15] + 1)  # forget, to which haiku adds 1
    assert torch.equal(phi["lstm.bias"][15:], theirs[5:10])  # the candidate
    if isinstance(rule, Celo):
        first = torch.cat([stored("ff_mod_stack", "~", f"w0__{k}")[0] for k in range(14)]).T
        assert torch.equal(phi["layer0.weight"], first)
        assert torch.equal(phi["layer2.bias"], stored("ff_mod_stack", "~", "b2")[0, :2])


def celo2_tensors() -> Tensors:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=random) for name, shape in CELO2_SHAPES.items()}


def test_celo2_comes_from_its_own_file(tmp_path: Path) -> None:
    path, out = tmp_path / "celo2.safetensors", tmp_path / "it.safetensors"
    save_file(theirs := celo2_tensors(), path)
    assert run_command("import-weights", path, out) == 0
    rule = Celo2(checkpoint=str(out))
    phi = rule.meta_parameters
    assert rule.recipe["licence"] == "BSD-3-Clause"
    assert torch.equal(phi["layer0.weight"][:, 3:6], theirs["first_layer_weights.3"])
    assert torch.equal(phi["layer2.weight"], theirs["output.weight"][:1])


def test_celo2_without_a_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "celo2.safetensors"
    theirs = celo2_tensors()
    del theirs["hidden.bias"]
    save_file(theirs, path)
    with pytest.raises(CheckpointError, match=r"must hold the published weights .*hidden.bias.* missing or unknown"):
        convert(path)


def test_the_command_converts_weights_to_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bare meta-parameters, as `theta.state` has them, give the same as those in a published file."""
    tree = msgpack.unpackb(WEIGHTS.read_bytes())
    bare = tmp_path / "theta.state"
    bare.write_bytes(msgpack.packb(tree["params"]))
    rules = []
    for source in (WEIGHTS, bare):
        out = tmp_path / f"{source.name}.safetensors"
        assert run_command("import-weights", source, out) == 0
        rules.append(VeLO(checkpoint=str(out)))
        assert str(out) in capsys.readouterr().out
    assert (rules[0].hidden, rules[0].bank) == (8, 6)
    for name, value in rules[0].meta_parameters.items():
        assert torch.equal(value, rules[1].meta_parameters[name])
    assert rules[0].recipe["converted_from"] == WEIGHTS.name
    assert rules[0].recipe["licence"] == "Apache-2.0"


def damaged() -> Iterator[tuple[str, bytes, str]]:
    """Files that are not VeLO's weights, and what is said of them."""

    def changed(group: str, name: str, part: str, value: Any) -> bytes:
        tree = msgpack.unpackb(WEIGHTS.read_bytes())
        tree["params"][group][name][part] = value
        return bytes(msgpack.packb(tree))

    rnn = "rnn_params"
    yield "cut short", WEIGHTS.read_bytes()[:-9], "no msgpack file of flax"
    yield "no file of msgpack", b"\xc1", "no msgpack file of flax"
    yield "a pickle", b"\x80\x04K\x01.", "must be a pickle file of named float32 arrays"
    yield "something else", msgpack.packb({"params": {"layers": 1}}), "must be an array of float32"
    yield "a list", msgpack.packb([1, 2]), "must be a msgpack file of named arrays"
    yield "a long list", msgpack.packb([1] * 2000), "no msgpack file of flax"
    yield "half precision", changed(rnn, "linear", "b", array(np.ones(8), "float16")), "must be an array of float32"
    yield (
        "false size",
        changed(rnn, "linear", "b", msgpack.ExtType(1, msgpack.packb(((9,), "float32", b"1234")))),
        ("linear/b must be an array of float32"),
    )
    yield "no array", changed(rnn, "linear", "b", msgpack.ExtType(1, msgpack.packb(7))), "no msgpack file of flax"
    yield (
        "another shape",
        changed(rnn, "linear_1", "b", array(np.ones(9))),
        r"linear_1/b must be torch.float32 \[8\], got torch.float32 \[9\]",
    )
    yield "unknown name", changed(rnn, "linear", "c", array(np.ones(9))), "linear/c'] missing or unknown"
    yield "not finite", changed(rnn, "linear", "b", array(np.full(8, np.nan))), "linear/b must be finite"
    yield (
        "no matrix",
        changed(rnn, "rnn_to_controls", "w", array(np.ones(8))),
        "rnn_to_controls/w must be a matrix of 1 to 1024 units",
    )
    yield (
        "too wide",
        changed(rnn, "rnn_to_controls", "w", array(np.ones((1025, 1)))),
        "rnn_to_controls/w must be a matrix of 1 to 1024 units",
    )


@pytest.mark.parametrize(("content", "message"), [pytest.param(*rest, id=name) for name, *rest in damaged()])
def test_other_files_are_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "theta.state"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message.replace("']", "'\\]")) as caught:
        convert(path)
    assert "\n" not in str(caught.value)


def test_large_files_and_missing_ones_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "theta.state"
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        convert(path)
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(CheckpointError, match="at most 67,108,864 bytes, got 1,073,741,824"):
        convert(path)


def test_without_msgpack_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install msgpack"):
        convert(WEIGHTS)


def test_the_command_writes_checkpoints_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("import-weights", WEIGHTS, tmp_path / "velo.npz") == 2
    assert "OUT must be a .safetensors file" in capsys.readouterr().err
    assert run_command("import-weights", WEIGHTS, tmp_path / "nowhere" / "velo.safetensors") == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def run_command(*arguments: object) -> Any:
    """The exit code of `l2obench` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["l2obench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
    return exited.value.code
