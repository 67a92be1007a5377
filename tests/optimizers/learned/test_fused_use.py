"""Where the compiled step of the rules of perceptrons is used, and where torch does the work."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import l2obench
from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP
from l2obench.optimizers.learned.celo2 import Celo2
from l2obench.optimizers.learned.fused import rule as rule_module
from l2obench.optimizers.learned.fused.rule import FusedRule, fused
from l2obench.optimizers.learned.star import STAR
from tests.optimizers.drop_in.every_rule import small_net, train
from tests.optimizers.learned.fused_steps import HORIZON, assert_equal_steps, count_calls, made, scrambled, stepped

pytest.importorskip("numba")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of updates that the compiled step has written."""
    return count_calls(monkeypatch)


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


@pytest.mark.parametrize("name", ["adam", "gac[checkpoint=random]", "nadam"])
def test_load_says_which_rules_have_no_program(name: str) -> None:
    with pytest.raises(ValueError, match="fused must be None or False for"):
        l2obench.load(name, small_net().parameters(), fused=True)
    l2obench.load(name, small_net().parameters())
