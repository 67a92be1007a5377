"""The compiled step of the LSTMs against their own path in torch, which is the reference."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.fused import layers as layers_module
from l2obench.optimizers.learned.fused.rule import FusedRule
from tests.optimizers.learned.fused_steps import assert_equal_steps, made

pytest.importorskip("numba")
RULES = ["lstm", "rnnprop"]
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (),
    "bias": (7,),
    "matrix": (6, 37),
    "filter": (5, 7, 3, 3),
    "row": (1, 300),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many coordinates each call of the program has stepped."""
    from l2obench.optimizers.learned.fused import cells

    step, found = cells.step_cells, []

    def counted(*arguments: Any) -> None:
        found.append(len(arguments[-1]))
        step(*arguments)

    monkeypatch.setattr(cells, "step_cells", counted)
    return found


@pytest.mark.parametrize("name", RULES)
def test_thirty_steps_are_those_of_torch(name: str, calls: list[int]) -> None:
    assert_equal_steps(made(name), SHAPES)
    assert calls == 30 * [6 * math.prod(shape) for shape in SHAPES.values()]


def stacked() -> FusedRule:
    """Three networks, one for each setting."""
    random, rule = torch.Generator().manual_seed(2), made("lstm")
    phi = rule.meta_parameters.items()
    return rule.with_meta_parameters(
        {name: value + 0.1 * torch.randn(3, *value.shape, generator=random) for name, value in phi}
    )


def test_stacked_networks_are_those_of_torch(calls: list[int]) -> None:
    """One call steps all of them."""
    assert_equal_steps(stacked(), SHAPES, steps=4)
    assert calls == 4 * [6 * math.prod(shape) for shape in SHAPES.values()]


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(1, 260),
    hidden=st.integers(1, 34),
    depth=st.integers(1, 3),
    name=st.sampled_from(RULES),
    preprocessing=st.sampled_from(["log", "log-linear", "none"]),
)
def test_any_network_on_any_number_of_coordinates(
    count: int, hidden: int, depth: int, name: str, preprocessing: str
) -> None:
    about = {"preprocessing": preprocessing} if name == "lstm" else {}
    assert_equal_steps(made(name, hidden=hidden, layers=depth, **about), {"tensor": (count,)}, steps=3)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1e3, 1e15, 1e25])
def test_gradients_of_any_size(name: str, scale: float) -> None:
    change = lambda grads, step: {key: grad * scale for key, grad in grads.items()}  # noqa: E731
    assert_equal_steps(made(name), {"matrix": (5, 70)}, steps=4, change=change)


@pytest.mark.parametrize("gain", [30.0, 1000.0])
@pytest.mark.parametrize("name", RULES)
def test_gates_beyond_what_exponentials_hold(name: str, gain: float) -> None:
    """Gates of ± hundreds are 0 or 1, as in torch, and not NaN."""
    rule = made(name)
    grown = {key: value * gain if key.startswith("lstm") else value for key, value in rule.meta_parameters.items()}
    # Steep gates amplify rounding: a few coordinates stand where a gate turns.
    assert_equal_steps(rule.with_meta_parameters(grown), {"matrix": (5, 70)}, steps=1, rtol=2e-3)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_replica_that_diverged_disturbs_no_other(name: str, bad: float) -> None:
    def change(grads: Tensors, step: int) -> Tensors:
        if step == 1:
            grads["matrix"][1, 2].view(-1)[-1] = bad
        return grads

    assert_equal_steps(made(name), {"matrix": (5, 70), "bias": (7,)}, steps=3, change=change)


@pytest.mark.parametrize("name", RULES)
def test_rates_may_differ_between_settings(name: str) -> None:
    rule = made(name).stacked({"lr": torch.tensor([[0.1, 1.0, 3.0]])})
    assert_equal_steps(rule, {"matrix": (5, 70)}, steps=2)


@pytest.mark.parametrize("name", RULES)
def test_filters_may_have_a_network_of_their_own(name: str, calls: list[int]) -> None:
    rule = made(name, networks="conv-fc").for_groups({"conv": ("filter",), "fc": ("matrix",)})
    assert_equal_steps(rule, {"filter": (5, 7, 3, 3), "matrix": (5, 70)}, steps=2)
    assert len(calls) == 2 * 2


def test_memory_in_any_order_is_taken() -> None:
    turned = lambda grads, step: {key: grad.mT.contiguous().mT for key, grad in grads.items()}  # noqa: E731
    for name in RULES:
        assert_equal_steps(made(name), {"matrix": (5, 70)}, steps=2, change=turned)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("networks", [1, 3])
def test_numbers_do_not_depend_on_chunks_and_threads(
    networks: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = (made("lstm") if networks == 1 else stacked()).fused()
    grad = torch.randn(1, networks, 500, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()

    @torch.no_grad()
    def step() -> Any:
        return rule.update_tensor(grad, rule.init_tensor(grad), grad)  # type: ignore[attr-defined]

    whole = step()
    monkeypatch.setattr(layers_module, "CHUNK", 64)
    torch.set_num_threads(threads)
    try:
        torch.testing.assert_close(step(), whole, rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


def test_wide_layers_go_the_way_of_torch(calls: list[int]) -> None:
    """Their products are faster there."""
    assert_equal_steps(made("lstm", hidden=layers_module.MOST_UNITS + 1), {"bias": (7,)}, steps=1, rtol=0)
    assert not calls
