"""VeLO: ten steps of the reference implementation, its file of weights, what the engine tells it, who hears of whom."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from pydantic import PrivateAttr
from safetensors.torch import load_file

from l2obench.bench.commands.cli import main
from l2obench.bench.measure.timing import time_steps
from l2obench.bench.measure.updates import proposals
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.imitation import Imitation
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.rollout.loop import rollout, start
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.checkpoint import CheckpointError
from l2obench.optimizers.learned.velo import VeLO
from l2obench.optimizers.learned.velo_weights import convert
from l2obench.tasks.quadratic import Quadratic

HERE = Path(__file__).parent
WEIGHTS, TRACE = HERE / "velo_reference.msgpack", HERE / "velo_reference.safetensors"
HORIZON = 12


@pytest.fixture
def reference(tmp_path: Path) -> VeLO:
    """The reference's weights, converted."""
    path = tmp_path / "velo.safetensors"
    path.write_bytes(convert(WEIGHTS))
    return VeLO(checkpoint=str(path))


def trace() -> Iterator[tuple[Tensors, Tensors, torch.Tensor, Tensors]]:
    """Parameters, gradients, loss and the parameters after it, of each step, as one replica."""
    stored = load_file(TRACE)

    def of(step: int, part: str) -> Tensors:
        prefix = f"{step}/{part}/"
        return {name.removeprefix(prefix): v[None, None] for name, v in stored.items() if name.startswith(prefix)}

    for step in range(10):
        yield of(step, "params"), of(step, "grads"), stored[f"{step}/loss"].reshape(1, 1), of(step + 1, "params")


def test_updates_are_those_of_the_reference_implementation(reference: VeLO) -> None:
    """Ten of twelve steps of `HyperV2` (google/learned_optimization, `research/general_lopt/hyper_v2.py`) in float32.

    It ran with lstm_hidden_size=8, param_inits=6, both `use_bugged_…` off, on a scalar, a vector that begins at zero, a
    4 × 3 matrix and a 2 × 3 × 2 × 2 kernel. Its weights: those of `HyperV2.init` at key 0, to each of which
    0.3 · N(0, 1) from numpy's generator 0 was added, the bank's then times 0.2; written by `checkpoints.save_state` as
    a `ParameterCheckpoint`. From the same generator the parameters, losses (2 · 0.8ᵗ + 0.1 · N(0, 1), the sixth 9, so
    that it is cut) and gradients, standard normal; the matrix has one 3,000 times as large, beyond the bound. jax
    0.10.2, dm-haiku 0.0.17, flax 0.12.8; mocks stood for tensorflow and flax.training.checkpoints, not needed here.
    """
    state: State | None = None
    with torch.no_grad():
        for step, (params, grads, loss, after) in enumerate(trace()):
            state = reference.observe(reference.init(params) if state is None else state, loss, HORIZON)
            updates, state = reference.update(grads, state, params)
            for name, update in updates.items():
                expected = after[name] - params[name]
                rounding = 1e-6 * float(params[name].abs().max())  # of the reference's θ − step, taken apart again
                assert expected.abs().max() > 100 * rounding
                torch.testing.assert_close(
                    update, expected, rtol=1e-4, atol=rounding, msg=lambda text, at=(name, step): f"{at}: {text}"
                )


def small(**fields: Any) -> VeLO:
    """Random meta-parameters, of all that are zero at first too."""
    random = torch.Generator().manual_seed(3)
    rule = VeLO(hidden=5, bank=3, **fields).initialised(random)
    phi = rule.meta_parameters
    return rule.with_meta_parameters({k: v + 0.1 * torch.randn(v.shape, generator=random) for k, v in phi.items()})


def test_it_is_as_large_as_the_papers() -> None:
    shapes = VeLO().meta_shapes()
    lstm = 2 * (30 * 512 + 512) + 4 * 512 * 2 * 512 + 4 * 512 + 512 * 256 + 256 + 512 + 1 + 2 * 512
    assert sum(math.prod(shape) for shape in shapes.values()) == lstm + 256 * (30 * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2)


def test_a_tensor_hears_of_the_others_through_the_lstm_alone() -> None:
    """Other gradients of one parameter move the other one, unless what all share is cut off."""
    rule = small()
    deaf = {name: value * (not name.startswith("shared")) for name, value in rule.meta_parameters.items()}

    def moved(rule: VeLO, size: float) -> torch.Tensor:
        line = torch.linspace(-1, 1, 4).view(1, 1, 2, 2)
        params, grads = {"a": torch.ones(1, 1, 3), "b": line}, {"a": torch.ones(1, 1, 3), "b": size * line}
        state = rule.init(params)
        for loss in (2.0, 1.0):
            updates, state = rule.update(grads, rule.observe(state, torch.tensor([[loss]]), 9), params)
        return updates["a"]

    with torch.no_grad():
        assert not torch.allclose(moved(rule, 1.0), moved(rule, 50.0), rtol=1e-3)
        deaf_rule = rule.with_meta_parameters(deaf)
        torch.testing.assert_close(moved(deaf_rule, 1.0), moved(deaf_rule, 50.0))


def test_the_engine_tells_it_every_loss_and_the_horizon() -> None:
    """A rollout is what `observe` and `update` give in turn."""
    task, rule = Quadratic(dim=3, horizon=6), small(lr=30.0)
    found = rollout(task, rule, [1, 2])
    problems = Problems(task, [1, 2])
    params = {name: value.unsqueeze(1) for name, value in problems.start.items()}
    with torch.no_grad():
        state = rule.init(params)
        for step in range(6):
            losses, grads = problems.loss_and_grad(params)
            torch.testing.assert_close(losses, found.losses[..., step])
            updates, state = rule.update(grads, rule.observe(state, losses, 6), params)
            params = {name: value + updates[name] for name, value in params.items()}
    other = rollout(Quadratic(dim=3, horizon=7), rule, [1, 2]).losses[..., :7]
    assert not torch.allclose(found.losses, other)


def test_a_loss_that_nobody_told_is_not_made_up() -> None:
    rule, params = small(), {"x": torch.ones(1, 1, 2)}
    _, state = rule.update(params, rule.observe(rule.init(params), torch.ones(1, 1), 5), params)
    for untold in (rule.init(params), state):
        with pytest.raises(ValueError, match="needs the loss and the number of steps"):
            rule.update(params, untold, params)


def test_second_order_meta_gradient_is_the_derivative() -> None:
    """Along a random direction, by finite differences: through the losses that it hears as well."""
    task, weights, double = Quadratic(dim=3, horizon=4), torch.ones(4, dtype=torch.float64), torch.float64
    rule = small(lr=30.0)
    phi = {name: value.double() for name, value in rule.meta_parameters.items()}

    def segment(phi: Tensors) -> Any:
        problems, moved = Problems(task, [1, 2], dtype=double), rule.with_meta_parameters(phi)
        with torch.no_grad():
            carry = start(problems, moved)
        carry = replace(carry, state={**carry.state, **initial})
        return second_order_bptt(problems, moved, carry, weights)

    with torch.no_grad():
        initial = {
            part: rule.with_meta_parameters(phi).init({"x": torch.zeros(2, 1, 3, dtype=double)})[part]
            for part in ("hidden", "cell")
        }
    grads = segment(phi).meta_grads
    random = torch.Generator().manual_seed(5)
    direction = {name: torch.randn(value.shape, generator=random, dtype=double) for name, value in grads.items()}
    slope = sum(float((grads[name] * direction[name]).sum()) for name in grads)

    def objective(shift: float) -> float:
        found = segment({name: value + shift * direction[name] for name, value in phi.items()})
        return float((found.losses * weights).sum(-1).mean())

    assert slope == pytest.approx((objective(1e-6) - objective(-1e-6)) / 2e-6, rel=1e-4)
    assert all(grad.abs().max() > 0 for name, grad in grads.items() if not name.startswith("initial"))


class Listening(VeLO):
    """Keeps what it is told."""

    _heard: list[tuple[torch.Tensor, int]] = PrivateAttr(default_factory=list)

    def observe(self, state: State, losses: torch.Tensor, horizon: int) -> State:
        self._heard.append((losses.clone(), horizon))
        return super().observe(state, losses, horizon)


def test_a_replay_hears_what_the_rollout_heard() -> None:
    """Before each of three updates the loss at its parameters: once in the rollout, and again with a graph."""
    rule = Listening(hidden=5, bank=3, lr=30.0).initialised(torch.Generator().manual_seed(0))
    problems = Problems(Quadratic(dim=3, horizon=9), [1, 2])
    with torch.no_grad():
        carry = start(problems, rule)
    first = carry.losses
    met = truncated_bptt(problems, rule, carry, torch.ones(3)).losses.unbind(-1)
    losses, horizons = zip(*rule._heard, strict=True)
    for heard, expected in zip(losses, [first, *met, first, *met[:2]], strict=True):
        torch.testing.assert_close(heard, expected)
    assert set(horizons) == {9}


def test_whoever_asks_for_updates_tells_it() -> None:
    """The clock, what it counts, `l2obench updates`, and imitation, as learner and as teacher."""
    task, rule = Quadratic(dim=3, horizon=9), VeLO(hidden=5, bank=3, checkpoint="random")
    (row,) = time_steps(task, [rule])
    assert "reason" not in row
    assert row["update_flops"] > 0
    assert len(proposals(task, [Adam(), rule], steps=[3]).history) == 18
    problems, imitation = Problems(task, [1, 2]), Imitation(teacher=rule)
    walk = imitation.begin(problems, small(), random := torch.Generator().manual_seed(0))
    estimate = imitation.advance(problems, small(), walk, torch.ones(3), random)
    assert any(grad.abs().max() > 0 for grad in estimate.meta_grads.values())


def test_the_command_converts_weights_to_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bare meta-parameters, as `theta.state` has them, give the same as those in a published file."""
    tree = msgpack.unpackb(WEIGHTS.read_bytes())
    bare = tmp_path / "theta.state"
    bare.write_bytes(msgpack.packb(tree["params"]))
    rules = []
    for source in (WEIGHTS, bare):
        out = tmp_path / f"{source.name}.safetensors"
        assert run_command("import-velo", source, out) == 0
        rules.append(VeLO(checkpoint=str(out)))
        assert str(out) in capsys.readouterr().out
    assert (rules[0].hidden, rules[0].bank) == (8, 6)
    for name, value in rules[0].meta_parameters.items():
        assert torch.equal(value, rules[1].meta_parameters[name])
    assert rules[0].recipe["converted_from"] == WEIGHTS.name


def damaged() -> Iterator[tuple[str, bytes, str]]:
    """Files that are not VeLO's weights, and what is said of them."""

    def array(values: Any, kind: str = "float32") -> msgpack.ExtType:
        values = np.asarray(values, dtype=kind)
        return msgpack.ExtType(1, msgpack.packb((values.shape, kind, values.tobytes())))

    def changed(group: str, name: str, part: str, value: Any) -> bytes:
        tree = msgpack.unpackb(WEIGHTS.read_bytes())
        tree["params"][group][name][part] = value
        return bytes(msgpack.packb(tree))

    rnn = "rnn_params"
    yield "cut short", WEIGHTS.read_bytes()[:-9], "no msgpack file of flax"
    yield "no file of msgpack", b"\xc1", "no msgpack file of flax"
    yield "a pickle", b"\x80\x04K\x01.", "no msgpack file of flax"
    yield "something else", msgpack.packb({"params": {"layers": 1}}), "holds no weights of VeLO"
    yield "a list", msgpack.packb([1, 2]), "holds no weights of VeLO"
    yield "a long list", msgpack.packb([1] * 2000), "no msgpack file of flax"
    yield "half precision", changed(rnn, "linear", "b", array(np.ones(8), "float16")), "no array of float32"
    yield (
        "false size",
        changed(rnn, "linear", "b", msgpack.ExtType(1, msgpack.packb(((9,), "float32", b"1234")))),
        ("linear/b is no array of float32"),
    )
    yield "no array", changed(rnn, "linear", "b", msgpack.ExtType(1, msgpack.packb(7))), "no msgpack file of flax"
    yield "another shape", changed(rnn, "linear_1", "b", array(np.ones(9))), r"linear_1/b is \[9\], expected \[8\]"
    yield "unknown name", changed(rnn, "linear", "c", array(np.ones(9))), "linear/c'] missing or unknown"
    yield "not finite", changed(rnn, "linear", "b", array(np.full(8, np.nan))), "not finite"
    yield "no matrix", changed(rnn, "rnn_to_controls", "w", array(np.ones(8))), "no matrix of a usable size"
    yield "too wide", changed(rnn, "rnn_to_controls", "w", array(np.ones((1025, 1)))), "no matrix of a usable size"


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
    with pytest.raises(CheckpointError, match=r"has 1,073,741,824 bytes; VeLO's weights have at most 67,108,864"):
        convert(path)


def test_without_msgpack_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install 'l2obench\[velo\]'"):
        convert(WEIGHTS)


def test_the_command_writes_checkpoints_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("import-velo", WEIGHTS, tmp_path / "velo.npz") == 2
    assert "is to be a .safetensors file" in capsys.readouterr().err
    assert run_command("import-velo", WEIGHTS, tmp_path / "nowhere" / "velo.safetensors") == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def run_command(*arguments: object) -> Any:
    """The exit code of `l2obench` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["l2obench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
    return exited.value.code
