"""Rules with random meta-parameters, stepped by the compiled program and by torch side by side."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers.base import Optimizer, State, Tensors
from l2obench.optimizers.learned.fused.rule import FusedRule

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


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of updates that the compiled step writes from now on."""
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
    atol: float = 0.0,
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
            assert_close(found, plain, rtol, atol)
            assert_close(fused_state, plain_state, rtol, atol)
            params = {name: value + plain[name].nan_to_num() for name, value in params.items()}


def stepped(rule: Optimizer, grads: Tensors, state: State, params: Tensors, losses: torch.Tensor) -> Any:
    return rule.update(grads, rule.observe(state, losses, HORIZON), params)


def assert_close(found: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    """Nested values, up to `atol` and `rtol` of the largest finite number; NaN and infinity at the same places."""
    if isinstance(expected, torch.Tensor) and expected.dtype == torch.bool:
        assert torch.equal(found, expected)
    elif isinstance(expected, torch.Tensor):
        finite = expected[expected.isfinite()]
        size = float(finite.abs().max()) if len(finite.flatten()) else 0.0
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol + rtol * size, equal_nan=True)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_close(found[name], expected[name], rtol, atol)
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol, atol)
    else:
        assert found == expected
