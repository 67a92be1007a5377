"""The paper's LSTM: its formulas, its fast path against its plain one, torch's own cell as the reference."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from l2obench.optimizers.base import State
from l2obench.optimizers.learned.cell import BLOCK
from l2obench.optimizers.learned.lstm import LSTM


def trained(**parameters: object) -> LSTM:
    return LSTM(**parameters).initialised(torch.Generator().manual_seed(3))


@given(
    gradient=st.one_of(st.floats(-1e4, 1e4), st.floats(-1e-6, 1e-6), st.just(0.0)),
    p=st.floats(1, 20),
)
def test_preprocessing_is_the_papers_formula(gradient: float, p: float) -> None:
    """Appendix A: (log|g|/p, sign g) where |g| >= e^-p, (-1, e^p g) elsewhere."""
    if abs(gradient) >= math.exp(-p):
        expected = [math.log(abs(gradient)) / p, math.copysign(1.0, gradient)]
    else:
        expected = [-1.0, math.exp(p) * gradient]
    found = LSTM(p=p).preprocess(torch.tensor([gradient], dtype=torch.float64))
    torch.testing.assert_close(found[:, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_linear_input_beside_the_papers_two() -> None:
    gradient = torch.tensor([0.5, -1e-9, 0.0], dtype=torch.float64)
    inputs = LSTM(preprocessing="log-linear", p=8).preprocess(gradient)
    torch.testing.assert_close(inputs[:2], LSTM(p=8).preprocess(gradient))
    torch.testing.assert_close(inputs[2], gradient * math.exp(4))


def reference_updates(rule: LSTM, grads: torch.Tensor) -> torch.Tensor:
    """The same network out of torch.nn.LSTMCell, whose gates are ordered input, forget, candidate, output."""
    phi = {name: value.double() for name, value in rule.meta_parameters.items()}
    order = torch.cat([torch.arange(0, 40), torch.arange(60, 80), torch.arange(40, 60)])
    cells = []
    for k in range(rule.layers):
        weight, bias = phi[f"lstm{k}.weight"][order], phi[f"lstm{k}.bias"][order]
        inputs = weight.shape[1] - rule.hidden
        cell = torch.nn.LSTMCell(inputs, rule.hidden, dtype=torch.float64)
        with torch.no_grad():
            cell.weight_ih.copy_(weight[:, :inputs])
            cell.weight_hh.copy_(weight[:, inputs:])
            cell.bias_ih.copy_(bias)
            cell.bias_hh.zero_()
        cells.append(cell)
    states = [None] * rule.layers
    updates = []
    for grad in grads:
        x = rule.preprocess(grad).T
        for k, cell in enumerate(cells):
            states[k] = cell(x, states[k])
            x = states[k][0]
        updates.append(rule.output_scale * (x @ phi["output.weight"].T + phi["output.bias"])[:, 0])
    return torch.stack(updates).detach()


@pytest.mark.parametrize("preprocessing", ["log", "log-linear", "none"])
@pytest.mark.parametrize("graph", [True, False], ids=["graph", "in place"])
def test_network_equals_torchs_cells(preprocessing: str, graph: bool) -> None:
    rule = trained(preprocessing=preprocessing)
    grads = torch.randn(5, 37, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params = {"x": torch.zeros(37, dtype=torch.float64)}
    found = []
    with torch.set_grad_enabled(graph):
        state = rule.init(params)
        for grad in grads:
            updates, state = rule.update({"x": grad}, state, params)
            found.append(updates["x"].detach())
    torch.testing.assert_close(torch.stack(found), reference_updates(rule, grads), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("coordinates", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_blocks_do_not_show(coordinates: int) -> None:
    """The blocked path gives each coordinate what it gives that coordinate alone, wherever the blocks end."""
    rule = trained()
    grad = torch.randn(coordinates, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params = {"x": torch.zeros_like(grad)}
    with torch.no_grad():
        state = rule.init(params)
        for _ in range(2):
            updates, state = rule.update({"x": grad}, state, params)
        one = {"x": torch.zeros(1, dtype=torch.float64)}
        state = rule.init(one)
        for _ in range(2):
            alone, state = rule.update({"x": grad[-1:]}, state, one)
    torch.testing.assert_close(updates["x"][-1:], alone["x"])


def test_lr_multiplies_the_update_by_replica() -> None:
    rule = trained()
    params = {"x": torch.zeros(1, 2, 3)}
    grads = {"x": torch.ones(1, 2, 3)}
    stacked = rule.stacked({"lr": torch.tensor([[1.0, 3.0]])})
    updates, _ = stacked.update(grads, stacked.init(params), params)
    torch.testing.assert_close(updates["x"][:, 1], 3 * updates["x"][:, 0])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_backward_pass_by_hand_is_autograds(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, over several blocks, from a state that is not zero, with an lr for each replica."""
    monkeypatch.setattr("l2obench.optimizers.learned.cell.BLOCK", 5)
    rule = trained(hidden=4, layers=layers).stacked({"lr": torch.tensor([[1.0, 0.5]])})
    phi = {name: value.double().requires_grad_() for name, value in rule.meta_parameters.items()}
    random = torch.Generator().manual_seed(4)
    grads, targets = torch.randn(2, 6, 3, 2, 2, generator=random, dtype=torch.float64)
    state = {
        part: torch.randn(layers, 4, 3, 2, 2, generator=random, dtype=torch.float64) for part in ("hidden", "cell")
    }
    learner = rule.with_meta_parameters(phi)
    plain, surrogate, updates = state, torch.zeros((), dtype=torch.float64), []
    for grad, target in zip(grads, targets, strict=True):
        update, plain = learner.update_tensor(grad, plain, grad)
        updates.append(update)
        surrogate = surrogate + (update * target).sum()
    expected = torch.autograd.grad(surrogate, list(phi.values()))

    with torch.no_grad():
        unrolled = learner.unroll(state, len(grads))
        assert unrolled is not None
        torch.testing.assert_close(torch.stack([unrolled.update(grad) for grad in grads]), torch.stack(updates))
        torch.testing.assert_close(unrolled.state(), plain)
        found = unrolled.gradient(list(targets))
    for name, grad in zip(phi, expected, strict=True):
        torch.testing.assert_close(found[name], grad, msg=name)


SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "bias": (5,), "matrix": (6, 7), "filter": (2, 3, 2, 2)}


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "in place"])
@pytest.mark.parametrize("preprocessing", ["log", "log-linear", "none"])
def test_each_setting_has_its_own_of_stacked_networks(
    preprocessing: str, graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings 0 to 2 of two seeds, over blocks of few coordinates: as each network alone on its setting."""
    monkeypatch.setattr("l2obench.optimizers.learned.cell.BLOCK", 12)
    random = torch.Generator().manual_seed(0)
    rules = [LSTM(hidden=6, preprocessing=preprocessing).initialised(random) for _ in range(3)]
    names = rules[0].meta_parameters
    stack = rules[0].with_meta_parameters(
        {name: torch.stack([r.meta_parameters[name] for r in rules]) for name in names}
    )
    params = {name: torch.randn(2, 3, *shape, generator=random) for name, shape in SHAPES.items()}
    with torch.set_grad_enabled(graph):
        state = stack.init(params)
        alone = [rule.init({name: value[:, k, None] for name, value in params.items()}) for k, rule in enumerate(rules)]
        for _ in range(4):
            grads = {name: torch.randn(value.shape, generator=random) for name, value in params.items()}
            updates, state = stack.update(grads, state, params)
            for k, rule in enumerate(rules):
                own, alone[k] = rule.update(
                    {name: value[:, k, None] for name, value in grads.items()}, alone[k], params
                )
                for name in SHAPES:
                    torch.testing.assert_close(updates[name][:, k, None], own[name])
                    for part in ("hidden", "cell"):
                        assert state[name][part].shape[2:] == params[name].shape
                        torch.testing.assert_close(state[name][part][:, :, :, k, None], alone[k][name][part])


def test_who_changes_the_formula_takes_no_stack() -> None:
    class Sharper(LSTM):
        def preprocess(self, grad: torch.Tensor) -> torch.Tensor:
            return super().preprocess(2 * grad)

    assert LSTM().takes_stacks()
    assert not Sharper().takes_stacks()


def test_who_changes_the_formula_is_is_not_given_its_backward_pass() -> None:
    class Doubled(LSTM):
        def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
            update, state = super().update_tensor(grad, state, param)
            return 2 * update, state

    rule = Doubled().initialised(torch.Generator())
    assert rule.unroll(rule.init_tensor(torch.zeros(1, 1, 3)), 2) is None


def test_presets_set_what_is_not_given() -> None:
    assert (LSTM(preset="deepmind-release").p, LSTM(preset="deepmind-release").output_scale) == (5, 0.01)
    assert (LSTM(preset="paper").p, LSTM(preset="paper").output_scale) == (10, 0.1)
    assert LSTM(preset="deepmind-release", p=7).p == 7
    with pytest.raises(ValidationError, match="preset"):
        LSTM(preset="google")


def test_parameter_count_is_the_papers() -> None:
    """Two layers of 20 on two inputs, one bias a gate, linear output: 80·22 + 80 + 80·40 + 80 + 20 + 1."""
    assert sum(value.numel() for value in trained().meta_parameters.values()) == 5141


def test_untrained_says_how_to_train() -> None:
    with pytest.raises(ValueError, match="l2obench train lstm"):
        LSTM().init({"x": torch.zeros(2)})
