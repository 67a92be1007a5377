"""The compiled step of the rules of perceptrons against their own path in torch, which is the reference."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import l2obench
from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.base import Optimizer, State, Tensors
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.celo2 import Celo2
from l2obench.optimizers.learned.fused import rule as rule_module
from l2obench.optimizers.learned.fused.rule import FusedRule, fused
from l2obench.optimizers.learned.star import STAR
from tests.optimizers.drop_in.every_rule import small_net, train

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
HORIZON = 40


def made(name: str, **values: Any) -> FusedRule:
    """A rule with random meta-parameters, all of which do something."""
    small = {"hidden": 8, "bank": 4} if name == "velo" else {}
    rule = optimizer_registry().create(name, small | values)
    assert isinstance(rule, FusedRule)
    return scrambled(rule)


def scrambled(rule: FusedRule) -> Any:
    random = torch.Generator().manual_seed(0)
    begun = rule.initialised(random).meta_parameters
    return rule.with_meta_parameters({k: v + 0.03 * torch.randn(v.shape, generator=random) for k, v in begun.items()})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of updates that the compiled step has written."""
    from l2obench.optimizers.learned.fused import kernel

    step, found = kernel.step_replicas, []

    def counted(*arguments: Any) -> None:
        found.append(arguments[2].shape)
        step(*arguments)

    monkeypatch.setattr(kernel, "step_replicas", counted)
    return found


def drawn(shapes: dict[str, tuple[int, ...]], random: torch.Generator, scale: float = 0.1) -> Tensors:
    return {name: scale * torch.randn(2, 3, *shape, generator=random) for name, shape in shapes.items()}


def assert_equal_steps(
    rule: FusedRule,
    shapes: dict[str, tuple[int, ...]],
    steps: int = 30,
    change: Callable[[Tensors, int], Tensors] = lambda grads, step: grads,
    rtol: float = 2e-5,
) -> None:
    """Both paths step side by side, each on its own state, at the same parameters."""
    compiled, random = rule.fused(), torch.Generator().manual_seed(1)
    params = drawn(shapes, random, 0.3)
    with torch.no_grad():
        plain_state, fused_state = rule.init(params), compiled.init(params)
        for step in range(steps):
            grads = change(drawn(shapes, random), step)
            before = copy.deepcopy((grads, params))
            losses = 0.5 + torch.rand(2, 3, generator=random)
            plain, plain_state = stepped(rule, grads, plain_state, params, losses)
            found, fused_state = stepped(compiled, grads, fused_state, params, losses)
            assert_close((grads, params), before, rtol=0)  # both are only read
            assert_close(found, plain, rtol)
            assert_close(fused_state, plain_state, rtol)
            params = {name: value + plain[name].nan_to_num() for name, value in params.items()}


def stepped(rule: Optimizer, grads: Tensors, state: State, params: Tensors, losses: torch.Tensor) -> Any:
    return rule.update(grads, rule.observe(state, losses, HORIZON), params)


def assert_close(found: Any, expected: Any, rtol: float) -> None:
    """Nested values, each tensor up to `rtol` of its largest finite number; NaN and infinity at the same places."""
    if isinstance(expected, torch.Tensor):
        finite = expected[expected.isfinite()]
        size = float(finite.abs().max()) if len(finite.flatten()) else 0.0
        torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * size, equal_nan=True)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_close(found[name], expected[name], rtol)
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol)
    else:
        assert found == expected


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


@pytest.fixture
def one_step() -> Callable[..., Any]:
    def run(rule: Optimizer, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        params = {"w": torch.ones(1, 1, 3, 4, dtype=dtype)}
        updates, _ = stepped(rule, params, rule.init(params), params, torch.ones(1, 1, dtype=dtype))
        return updates["w"]

    return run


@torch.no_grad()
@pytest.mark.parametrize("case", ["not asked for", "double precision", "counted"])
def test_what_the_program_does_not_take_goes_the_way_of_torch(
    case: str, calls: list[tuple[int, ...]], one_step: Callable[..., Any]
) -> None:
    from l2obench.bench.measure.operations import Operations

    rule = made("adafac-mlp")
    compiled = rule if case == "not asked for" else rule.fused()
    about = {"dtype": torch.float64} if case == "double precision" else {}
    if case == "counted":
        with Operations() as operations:
            found = one_step(compiled, **about)
        assert operations.flops
    else:
        found = one_step(compiled, **about)
    torch.testing.assert_close(found, one_step(rule, **about), rtol=0, atol=0)
    assert not calls


def test_meta_training_goes_the_way_of_torch(calls: list[tuple[int, ...]], one_step: Callable[..., Any]) -> None:
    rule = made("adafac-mlp")
    phi = {name: tensor.clone().requires_grad_() for name, tensor in rule.meta_parameters.items()}
    one_step(rule.with_meta_parameters(phi).fused()).square().sum().backward()
    assert all(tensor.grad is not None for tensor in phi.values())
    assert not calls


def test_filters_of_celo2_go_the_way_of_torch(calls: list[tuple[int, ...]]) -> None:
    """Their root mean squares are those of each place of the kernel."""
    rule: Celo2 = made("celo2")  # type: ignore[assignment]
    assert_equal_steps(rule, {"filter": (5, 7, 3, 3), "signal": (6, 4, 5)}, steps=2)
    assert not calls


def test_a_rule_stays_as_it_is_and_its_copies_are_fused() -> None:
    rule = made("star")
    compiled = rule.fused()
    assert (rule.is_fused, compiled.is_fused) == (False, True)
    assert compiled.model_copy(update={"lr": 0.5}).is_fused
    assert compiled.stacked({"lr": torch.ones(1, 2)}).is_fused
    assert isinstance(compiled, STAR)
    assert fused(optimizer_registry().create("adam")).name == "adam"


def test_a_subclass_has_the_program_only_if_it_says_so() -> None:
    """Its formula may be another one."""

    class Doubled(AdafacMLP):
        step_size: float = 2e-3

    rule = scrambled(Doubled())
    assert fused(rule) is rule
    with pytest.raises(ValueError, match="Doubled must say has_fused_step = True"):
        rule.fused()


def test_without_numba_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_module, "numba_is_installed", lambda: False)
    with pytest.raises(ValueError, match=r"star needs numba.*Try: pip install 'numba>=0.61'"):
        made("star").fused()


def test_a_drop_in_ends_where_that_of_torch_ends(calls: list[tuple[int, ...]]) -> None:
    rule = made("celo")
    ends = []
    for each in (rule, rule.fused()):
        model = small_net()
        optimizer = DropIn(model.parameters(), each, num_steps=HORIZON)
        ends.append(train(model, optimizer, 10))
        # Each goes on from the other's state.
        again = DropIn(model.parameters(), rule.fused() if each is rule else rule, num_steps=HORIZON)
        again.load_state_dict(optimizer.state_dict())
        ends.append(train(model, copy.deepcopy(again), 10))
    assert ends[:2] == pytest.approx(ends[2:], rel=1e-4)
    assert len(calls) == 2 * 10 * 4


def test_half_precision_is_stepped_in_single(calls: list[tuple[int, ...]]) -> None:
    ends = []
    for rule in (made("star"), made("star").fused()):
        model = small_net().bfloat16()
        ends.append(train(model, DropIn(model.parameters(), rule), 5))
    assert ends[1] == pytest.approx(ends[0], rel=1e-2)
    assert len(calls) == 5 * 4


def test_programs_are_kept_where_they_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from l2obench.optimizers.learned.fused import compiling

    monkeypatch.setattr(compiling.numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = compiling._folder_of_programs()
    assert kept is not None
    assert kept.is_relative_to(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compiling._folder_of_programs() is None


@pytest.mark.parametrize(("asked", "is_used"), [(None, True), (True, True), (False, False)])
def test_load_uses_the_program_where_numba_is(asked: bool | None, is_used: bool) -> None:
    optimizer = l2obench.load("adafac-mlp", small_net().parameters(), checkpoint="random", fused=asked)
    assert isinstance(optimizer, DropIn)
    assert isinstance(optimizer.rule, FusedRule)
    assert optimizer.rule.is_fused is is_used


@pytest.mark.parametrize("name", ["adam", "lstm[checkpoint=random]", "nadam"])
def test_load_says_which_rules_have_no_program(name: str) -> None:
    with pytest.raises(ValueError, match="fused must be None or False for"):
        l2obench.load(name, small_net().parameters(), fused=True)
    l2obench.load(name, small_net().parameters())
