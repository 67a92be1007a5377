"""What loops do with an optimizer of torch, done with every rule: sharing, scaling, clipping, hooks, compilation."""

import copy
import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import l2obench
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.drop_in.optimizer import DropIn
from tests.optimizers.drop_in.every_rule import assert_equal, closure_of, every_rule, small_net, train, values_of

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(2))


def loss_of(model: torch.nn.Module, rows: slice = slice(None)) -> torch.Tensor:
    x = X[rows].to(next(model.parameters()))
    return (model(x) - x.sum(1, keepdim=True).sin()).square().mean()


def pair(rule: Optimizer) -> list[tuple[torch.nn.Module, DropIn]]:
    """Two models that are alike, with an optimizer each."""
    models = [small_net(), small_net()]
    return [(model, DropIn(model.parameters(), rule, num_steps=20)) for model in models]


def assert_close(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


@every_rule
def test_a_shared_weight_is_one_parameter(rule: Optimizer) -> None:
    """Its gradient is the sum over its uses."""
    torch.manual_seed(0)
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))
    tied[2].weight = tied[0].weight
    apart = copy.deepcopy(tied)
    first, second = (DropIn(model.parameters(), rule, num_steps=9) for model in (tied, apart))
    assert sum(len(group["params"]) for group in first.param_groups) == 3
    inputs = torch.ones(2, 3)
    for _ in range(3):
        first.zero_grad()
        loss = tied(inputs).square().mean()
        loss.backward()
        first.step(loss=loss)
        second.zero_grad()
        # By hand: weight and bias of both layers, from the parameters themselves.
        weight, bias, other = apart.parameters()
        loss = torch.nn.functional.linear(torch.nn.functional.linear(inputs, weight, bias).tanh(), weight, other)
        loss = loss.square().mean()
        loss.backward()
        second.step(loss=loss)
    assert tied[2].weight is tied[0].weight
    assert_equal(tied, apart)


@every_rule
def test_sparse_gradients_and_complex_parameters_are_refused(rule: Optimizer) -> None:
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    before = embedding.weight.detach().clone()
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r"takes dense gradients, got a sparse one\. Try: sparse=False"):
        DropIn(embedding.parameters(), rule, num_steps=9).step(loss=1.0)
    assert torch.equal(embedding.weight, before)
    with pytest.raises(ValueError, match="takes real parameters, got a complex one"):
        DropIn([torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))], rule, num_steps=9)


@every_rule
def test_float16_has_its_state_in_float32_and_stays_finite(rule: Optimizer) -> None:
    """Squares of these gradients are 0 or infinite in float16."""
    for size in (1e-5, 1e4):
        param = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.float16))
        optimizer = DropIn([param], rule, num_steps=9)
        for _ in range(3):
            param.grad = torch.full_like(param, size)
            optimizer.step(loss=1.0)
        assert optimizer.skipped_steps == 0
        assert param.dtype == torch.float16
        assert torch.isfinite(param).all() or "lr" in type(rule).model_fields  # sgd moves by lr times the gradient
        kinds = {value.dtype for value in _tensors(optimizer.state_dict()["state"]) if value.is_floating_point()}
        assert kinds <= {torch.float32}


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


@every_rule
def test_accumulated_gradients_are_those_of_the_whole(rule: Optimizer) -> None:
    (whole, first), (parts, second) = pair(rule)
    for _ in range(3):
        first.zero_grad()
        loss = loss_of(whole)
        loss.backward()
        first.step(loss=loss)
        second.zero_grad()
        for rows in (slice(0, 4), slice(4, 8)):
            part = loss_of(parts, rows)
            (part / 2).backward()
            second.observe(part)
        second.step()
    assert_close(whole, parts)


@every_rule
def test_a_gradient_scaler_changes_nothing_and_skips_what_overflows(rule: Optimizer) -> None:
    (plain, first), (scaled, second) = pair(rule)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for bad in (False, False, True, False):
        if not bad:
            first.zero_grad()
            loss = loss_of(plain)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
            first.step(loss=loss)
        second.zero_grad()
        loss = loss_of(scaled)
        scaler.scale(loss).backward()
        if bad:
            scaled[0].weight.grad[0, 0] = math.inf  # type: ignore[union-attr]
        scaler.unscale_(second)
        torch.nn.utils.clip_grad_norm_(scaled.parameters(), 0.1)
        scaler.step(second, loss=loss)
        scaler.update()
    assert scaler.get_scale() == 2.0
    assert_close(plain, scaled)


@every_rule
def test_hooks_around_a_step_are_called(rule: Optimizer) -> None:
    called: list[str] = []
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=9)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    train(model, optimizer, 2)
    assert called == ["before", "after"] * 2


def test_a_hook_may_change_what_a_step_is_given() -> None:
    optimizer = DropIn(small_net().parameters(), Adam())
    seen: list[Any] = []
    before = optimizer.register_step_pre_hook(lambda _, given, named: (given, {**named, "loss": 2.0}))
    after = optimizer.register_step_post_hook(lambda *about: seen.append(about))
    optimizer.step(loss=1.0)
    before.remove()
    assert optimizer.step(lambda: 3.0) == 3.0
    after.remove()
    optimizer.step()
    first, second = seen
    assert first == (optimizer, (optimizer,), {"loss": 2.0})
    assert second[1][1]() == 3.0


def test_hooks_of_all_optimizers_are_called() -> None:
    optimizer, called = DropIn(small_net().parameters(), Adam()), []
    handles = [
        register_optimizer_step_pre_hook(lambda *_: called.append("before")),
        register_optimizer_step_post_hook(lambda *_: called.append("after")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert called == ["before", "after"]


def test_a_profiler_sees_the_steps() -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), Adam())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        train(model, optimizer, 2)
    found = {event.key: event.count for event in profiler.key_averages()}
    assert found["Optimizer.step#DropIn.step"] == 2


@every_rule
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_the_step(rule: Optimizer) -> None:
    (plain, first), (other, second) = pair(rule)

    @torch.compile(backend="eager")
    def step(loss: torch.Tensor) -> None:
        second.step(loss=loss)

    for _ in range(3):
        for model, optimizer in ((plain, first), (other, second)):
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            if optimizer is first:
                first.step(loss=loss.detach())
            else:
                step(loss.detach())
    assert_equal(plain, other)


@every_rule
def test_it_steps_inside_the_backward_pass(rule: Optimizer) -> None:
    """An optimizer for each parameter, which steps as soon as the gradient is there."""
    inside, outside = small_net(), small_net()
    for param in inside.parameters():
        own = DropIn([param], rule, num_steps=9)
        param.register_post_accumulate_grad_hook(lambda _, own=own: own.step(loss=1.0))
    owners = [DropIn([param], rule, num_steps=9) for param in outside.parameters()]
    for _ in range(3):
        for model in (inside, outside):
            model.zero_grad()
            loss_of(model).backward()
        for own in owners:
            own.step(loss=1.0)
    assert_equal(inside, outside)


SCHEDULERS: list[Callable[[torch.optim.Optimizer], Any]] = [
    lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2),
    lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3]),
    lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    lambda optimizer: torch.optim.lr_scheduler.PolynomialLR(optimizer),
    lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5),
    lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
    lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer),
    lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer),
    lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=9),
    lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 1e-3, 1e-2),
    lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.01),
]


OF_MOMENTUM: list[Callable[[torch.optim.Optimizer], Any]] = [
    lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=9, cycle_momentum=False),
    lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 1e-3, 1e-2, cycle_momentum=False),
]
"""What the two do for rules that have no momentum."""


@pytest.mark.parametrize("make", SCHEDULERS)
def test_all_schedulers_of_torch_drive_adam(make: Callable[[torch.optim.Optimizer], Any]) -> None:
    ours, theirs = small_net(), small_net()
    for net, optimizer in [
        (ours, l2obench.load("adam", ours.parameters(), lr=0.01)),
        (theirs, torch.optim.Adam(theirs.parameters(), lr=0.01)),
    ]:
        scheduler = make(optimizer)
        for _ in range(6):
            train(net, optimizer, 1)
            scheduler.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


@every_rule
def test_all_schedulers_of_torch_set_its_rate(rule: Optimizer) -> None:
    """The rates are those that torch's SGD gets, and the rule steps by them."""
    has_momentum = {"momentum", "betas"} & DropIn(small_net().parameters(), rule, num_steps=9).defaults.keys()
    for make in SCHEDULERS if has_momentum else [*SCHEDULERS[:-3], SCHEDULERS[-1], *OF_MOMENTUM]:
        model, other = small_net(), small_net()
        optimizer = DropIn(model.parameters(), rule, num_steps=9, lr=0.01)
        peer = torch.optim.SGD(other.parameters(), lr=0.01, momentum=0.9)
        ours, theirs = make(optimizer), make(peer)
        for _ in range(3):
            train(model, optimizer, 1)
            train(other, peer, 1)
            ours.step()
            theirs.step()
            assert optimizer.param_groups[0]["lr"] == peer.param_groups[0]["lr"]


@every_rule
def test_a_plateau_lowers_its_rate(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=9, lr=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for _ in range(3):
        train(model, optimizer, 1)
        scheduler.step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.0025


def held(optimizer: torch.optim.Optimizer) -> int:
    return sum(tensor.numel() for tensor in _tensors(dict(enumerate(optimizer.state.values()))))


@every_rule
def test_memory_stays_as_it_is(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=30)
    train(model, optimizer, 3)
    first = held(optimizer), len(optimizer.state_dict()["state"])
    train(model, optimizer, 20)
    assert (held(optimizer), len(optimizer.state_dict()["state"])) == first


LONG = ["sgd", "adam", "general", "celo[checkpoint=random]", "celo2[checkpoint=random]", "relative-muon", "nadam"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_ten_thousand_steps_keep_constant_memory(name: str) -> None:
    """Neither the state nor the number of live objects grows."""
    param = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = l2obench.load(name, [param], num_steps=10_000)
    sizes = []
    for step in range(10_000):
        param.grad = param.detach().sin()
        optimizer.step(loss=1.0)  # type: ignore[call-arg]
        if step in (100, 9_999):
            gc.collect()
            sizes.append((held(optimizer), len(gc.get_objects())))
    (state, objects), (state_after, objects_after) = sizes
    assert state_after == state
    assert objects_after < objects + 1000
    assert torch.isfinite(param).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_rule
def test_parameters_on_two_devices_are_right_or_refused(rule: Optimizer) -> None:
    """A coordinatewise rule steps each tensor where it is; any other one says that it cannot."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.Linear(8, 1).cuda()]
    alone = copy.deepcopy(layers)
    alone[1].cpu()
    optimizer = DropIn([param for layer in layers for param in layer.parameters()], rule, num_steps=9)
    peer = DropIn([param for layer in alone for param in layer.parameters()], rule, num_steps=9)
    before = values_of(layers[0])
    layers[1](layers[0](X).cuda()).square().mean().backward()
    alone[1](alone[0](X)).square().mean().backward()
    peer.step(loss=1.0)
    if not isinstance(rule, CoordinatewiseOptimizer) or "horizon" in rule.uses:
        with pytest.raises(RuntimeError, match="must be on one device"):
            optimizer.step(loss=1.0)
        assert all(torch.equal(now, old) for now, old in zip(values_of(layers[0]), before, strict=True))
        return
    optimizer.step(loss=1.0)
    for layer, other in zip(layers, alone, strict=True):
        for mine, theirs in zip(layer.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine.cpu(), theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_rule
def test_on_a_gpu_it_is_as_on_a_cpu(rule: Optimizer) -> None:
    (here, first), (there, _) = pair(rule)
    there.cuda()
    second = DropIn(there.parameters(), rule, num_steps=20)
    for _ in range(3):
        for model, optimizer in ((here, first), (there, second)):
            train(model, optimizer, 1)
    for mine, other in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(mine, other.cpu(), rtol=1e-2, atol=1e-4)
    closure_of(there, second)()
