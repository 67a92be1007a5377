"""VeLO: ten steps of the reference implementation, its file of weights, what the engine tells it, who hears of whom."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr
from safetensors.torch import load_file

from l2obench.bench.measure.timing import time_steps
from l2obench.bench.measure.updates import proposals
from l2obench.bench.metatrain.estimators.bptt_gradient import truncated_bptt
from l2obench.bench.metatrain.estimators.imitation import Imitation
from l2obench.bench.metatrain.estimators.second_order_gradient import second_order_bptt
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import start
from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.velo import VeLO
from l2obench.optimizers.published.conversion import convert
from l2obench.tasks.quadratic import Quadratic

HERE = Path(__file__).parent
WEIGHTS, TRACE = HERE.parent / "published" / "velo_reference.msgpack", HERE / "velo_reference.safetensors"
HORIZON = 12


@pytest.fixture
def reference(tmp_path: Path) -> VeLO:
    """The reference's weights, converted."""
    path = tmp_path / "velo.safetensors"
    path.write_bytes(convert(WEIGHTS)[1])
    return VeLO(checkpoint=str(path))


def trace() -> Iterator[tuple[Tensors, Tensors, torch.Tensor, Tensors]]:
    """Parameters, gradients, loss and the parameters after it, of each step, as one replica in our layout.

    The reference has matrices as [inputs, outputs] and kernels as [height, width, inputs, outputs].
    """
    stored = load_file(TRACE)
    orders = {2: (1, 0), 4: (3, 2, 0, 1)}

    def of(step: int, part: str) -> Tensors:
        prefix = f"{step}/{part}/"
        return {
            name.removeprefix(prefix): v.permute(orders.get(v.ndim, tuple(range(v.ndim))))[None, None]
            for name, v in stored.items()
            if name.startswith(prefix)
        }

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
            losses, grads, _ = problems.loss_grad_and_buffers(params, {})
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
    unroll_state = imitation.begin(problems, small(), random := torch.Generator().manual_seed(0))
    estimate = imitation.advance(problems, small(), unroll_state, torch.ones(3), random)
    assert any(grad.abs().max() > 0 for grad in estimate.meta_grads.values())
