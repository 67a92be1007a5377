"""The compiled step of the rules of perceptrons against their own path in torch, which is the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from tests.optimizers.learned.fused_steps import assert_equal_steps, count_calls, made

pytest.importorskip("numba")
RULES = ["adafac-mlp", "star", "mu-adafac-mlp", "elo", "celo", "velo", "mu-velo", "celo2", "celo2-base", "elo-celo2"]
SHAPES: dict[str, tuple[int, ...]] = {
    "first": (3, 70),
    "square": (6, 6),
    "wide": (70, 140),
    "tall": (140, 3),
    "embed": (9, 4),
    "bias": (300,),
    "scalar": (),
    "one": (1, 1),
    "signal": (6, 4, 5),
    "filter": (5, 7, 3, 3),
    "large kernel": (3, 2, 5, 4),
    "point": (2, 9, 1, 1),
    "last": (4, 70),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of updates that the compiled step has written."""
    return count_calls(monkeypatch)


@pytest.mark.parametrize("name", RULES)
def test_thirty_steps_are_those_of_torch(name: str, calls: list[tuple[int, ...]]) -> None:
    # velo's LSTM looks at logarithms of sums, and remembers: a difference of rounding grows from step to step.
    assert_equal_steps(made(name), SHAPES, rtol=2e-4 if name == "velo" else 2e-5)
    per_step = {"celo2": 7, "elo-celo2": 7, "celo2-base": 10}.get(name, len(SHAPES))
    assert len(calls) == 30 * per_step


sizes = st.integers(min_value=1, max_value=9)
shapes = st.one_of(
    st.lists(sizes, max_size=5).map(tuple),
    st.tuples(st.integers(60, 70), st.integers(60, 530)),
    st.tuples(st.integers(250, 530)),
)


@settings(deadline=None, max_examples=25)
@given(shape=shapes, name=st.sampled_from(["adafac-mlp", "celo"]))
def test_any_shape_is_stepped_as_in_torch(shape: tuple[int, ...], name: str) -> None:
    assert_equal_steps(made(name), {"tensor": shape}, steps=2)


@settings(deadline=None, max_examples=10)
@given(hidden=st.integers(1, 34), layers=st.integers(1, 3), scale=st.sampled_from([1e-3, 1.0, 300.0]))
def test_any_network_is_that_of_torch(hidden: int, layers: int, scale: float) -> None:
    """Numbers that are no multiples of vectors, and sizes e^a beyond what single precision holds."""
    rule = made("star", hidden=hidden, layers=layers, magnitude_scale=scale)
    assert_equal_steps(rule, {"matrix": (5, 70), "bias": (7,)}, steps=2, rtol=1e-5 if scale < 1 else 2e-2)


@pytest.mark.parametrize("shift", [-0.2, 0.1, 0.25, 1.0])
def test_learned_decays_are_those_of_torch(shift: float) -> None:
    rule = AdafacMLP().initialised(torch.Generator().manual_seed(0))
    decays = ("momentum_decays", "square_decay", "factored_decays")
    learned = {name: torch.full_like(rule.meta_parameters[name], shift) for name in decays}
    assert_equal_steps(
        rule.with_meta_parameters({**rule.meta_parameters, **learned}), {"matrix": (5, 70), "bias": (7,)}
    )


@pytest.mark.parametrize("name", ["adafac-mlp", "celo", "celo2-base"])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-6, 1e3, 1e15, 1e25])
def test_gradients_of_any_size(name: str, scale: float) -> None:
    """Zero, denormal squares, squares beyond single precision: the same numbers, infinity and NaN included."""
    change = lambda grads, step: {name: grad * scale for name, grad in grads.items()}  # noqa: E731
    assert_equal_steps(made(name), {"matrix": (5, 70), "filter": (3, 4, 2), "bias": (7,)}, steps=4, change=change)


@pytest.mark.parametrize("name", ["star", "celo", "elo"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_replica_that_diverged_disturbs_no_other(name: str, bad: float) -> None:
    def change(grads: Tensors, step: int) -> Tensors:
        if step == 1:
            for grad in grads.values():
                grad[1, 2].view(-1)[-1] = bad
        return grads

    assert_equal_steps(made(name), {"matrix": (5, 70), "filter": (3, 4, 2), "bias": (7,)}, steps=3, change=change)


def test_rates_may_differ_between_settings() -> None:
    rule = made("star").stacked({"lr": torch.tensor([[0.1, 1.0, 3.0]])})
    assert_equal_steps(rule, {"matrix": (5, 70), "bias": (7,)}, steps=2)


def test_memory_in_any_order_is_taken() -> None:
    turned = lambda grads, step: {name: grad.mT.contiguous().mT for name, grad in grads.items()}  # noqa: E731
    assert_equal_steps(made("adafac-mlp"), {"matrix": (5, 70), "filter": (3, 4, 2)}, steps=2, change=turned)
