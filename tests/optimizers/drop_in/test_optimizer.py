"""Our rules where torch.optim is expected: the same numbers as in a rollout, and the manners of torch's own."""

import copy
import io
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

import l2obench
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.sinusoid import Sinusoid
from tests.optimizers.drop_in.every_rule import (
    RULES_HERE,
    STEPS,
    assert_equal,
    closure_of,
    every_rule,
    small_net,
    train,
    values_of,
    whole_models,
)


@every_rule
def test_it_is_the_rule_of_the_rollout(rule: Optimizer) -> None:
    task = Sinusoid(horizon=STEPS)
    problems = Problems(task, [7], dtype=torch.float64)
    with torch.no_grad():
        carry = start(problems, rule)
        for _ in range(STEPS):
            carry = advance(problems, rule, carry)
    again = Problems(task, [7], dtype=torch.float64)
    params = {name: torch.nn.Parameter(value[0].clone()) for name, value in again.start.items()}
    optimizer = DropIn(params.items(), rule, num_steps=STEPS)
    for _ in range(STEPS):
        batch = {name: value[0] for name, value in again.minibatch().items()}
        optimizer.zero_grad()
        loss = task.loss(params, batch)
        loss.backward()
        optimizer.step(loss=loss)
    for name, param in params.items():
        torch.testing.assert_close(param.detach(), carry.params[name][0, 0], rtol=1e-9, atol=1e-11)


@every_rule
def test_a_saved_state_goes_on_exactly(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=2 * STEPS)
    train(model, optimizer, STEPS)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    twin = copy.deepcopy(model)
    restored = DropIn(twin.parameters(), rule, num_steps=2 * STEPS)
    buffer.seek(0)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    train(model, optimizer, STEPS)
    train(twin, restored, STEPS)
    assert_equal(model, twin)


@every_rule
def test_a_state_dict_is_a_snapshot_and_rewinding_is_exact(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=3 * STEPS)
    train(model, optimizer, STEPS)
    weights, state = copy.deepcopy(model.state_dict()), optimizer.state_dict()
    train(model, optimizer, STEPS)
    first = values_of(model)
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    train(model, optimizer, STEPS)
    for mine, other in zip(first, values_of(model), strict=True):
        assert torch.equal(mine, other)


@every_rule
def test_copies_and_pickles_train_on(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=2 * STEPS)
    train(model, optimizer, 2)
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    third, third_optimizer = pickle.loads(pickle.dumps((model, optimizer)))
    for net, own in [(model, optimizer), (twin, twin_optimizer), (third, third_optimizer)]:
        train(net, own, 3)
    assert_equal(model, twin)
    assert_equal(model, third)


@every_rule
def test_scalars_empty_ones_and_slices_are_parameters_too(rule: Optimizer) -> None:
    scalar, empty = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64)), torch.nn.Parameter(torch.zeros(0, 3))
    slices = torch.nn.Parameter(torch.ones(6, 4, dtype=torch.float64)[::2].t())
    assert not slices.is_contiguous()
    optimizer = DropIn([scalar, empty, slices], rule, num_steps=5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = (scalar * slices).square().sum() + empty.sum()
        loss.backward()
        return loss.detach()

    for _ in range(3):
        optimizer.step(closure)
    assert torch.isfinite(scalar)
    assert scalar != 1.5 or (slices != 1).all()
    assert empty.shape == (0, 3)


@every_rule
def test_half_precision_keeps_its_state_in_float32(rule: Optimizer) -> None:
    model = small_net().to(torch.bfloat16)
    optimizer = DropIn(model.parameters(), rule, num_steps=8)
    train(model, optimizer, 4)
    assert all(torch.isfinite(param).all() and param.dtype == torch.bfloat16 for param in model.parameters())
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    for state in (saved, optimizer.state_dict()):
        assert {value.dtype for value in tensors_in(state["state"]) if value.is_floating_point()} <= {torch.float32}


def tensors_in(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


@every_rule
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_skips_the_step_and_the_state_survives(rule: Optimizer, bad: float) -> None:
    model, twin = small_net(), small_net()
    optimizer, other = (DropIn(net.parameters(), rule, num_steps=2 * STEPS) for net in (model, twin))
    train(model, optimizer, 2)
    train(twin, other, 2)
    closure_of(model, optimizer)()
    model[0].weight.grad[0, 0] = bad  # type: ignore[union-attr]
    optimizer.step(loss=0.5)
    assert_equal(model, twin)
    assert optimizer.skipped_steps == 1
    train(model, optimizer, 3)
    train(twin, other, 3)
    assert_equal(model, twin)


@every_rule
def test_what_has_no_gradient_stays(rule: Optimizer) -> None:
    model = small_net()
    model.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
    frozen = model[2].bias.requires_grad_(False)
    kept = frozen.clone()
    optimizer = DropIn(model.parameters(), rule, num_steps=3)
    train(model, optimizer, 3)
    assert torch.equal(model.get_parameter("unused"), torch.ones(3))
    assert torch.equal(frozen, kept)


@every_rule
def test_maximize_is_the_step_on_the_negated_loss(rule: Optimizer) -> None:
    up, down = small_net(), small_net()
    rising, falling = (
        DropIn(up.parameters(), rule, num_steps=9, maximize=True),
        DropIn(down.parameters(), rule, num_steps=9),
    )
    for _ in range(3):
        for net, optimizer, sign in [(up, rising, 1.0), (down, falling, -1.0)]:
            optimizer.zero_grad()
            (sign * torch.stack([param.sin().sum() for param in net.parameters()]).sum()).backward()
            optimizer.step(loss=1.0)
    assert_equal(up, down)


@every_rule
def test_decay_of_weights_is_decoupled(rule: Optimizer) -> None:
    """With gradients of zero, a rule without momentum of its own leaves the decay alone at work."""
    if "weight_decay" in type(rule).model_fields:
        pytest.skip("it has a decay of its own")
    plain, decayed = small_net(), small_net()
    for net, decay in [(plain, 0.0), (decayed, 0.1)]:
        optimizer = DropIn(net.parameters(), rule, num_steps=9, weight_decay=decay)
        closure_of(net, optimizer)()
        optimizer.step(loss=0.5)
    rate = optimizer.param_groups[0]["lr"]
    for first, now, old in zip(plain.parameters(), decayed.parameters(), small_net().parameters(), strict=True):
        torch.testing.assert_close(now, first - rate * 0.1 * old, rtol=1e-5, atol=1e-7)


@every_rule
def test_a_rate_of_zero_moves_nothing_and_a_tensor_is_a_rate(rule: Optimizer) -> None:
    model = small_net()
    before = values_of(model)
    optimizer = DropIn(model.parameters(), rule, num_steps=9, lr=0)
    train(model, optimizer, 2)
    for now, old in zip(values_of(model), before, strict=True):
        assert torch.equal(now, old)
    first, second = small_net(), small_net()
    train(first, DropIn(first.parameters(), rule, num_steps=9, lr=0.25), 3)
    train(second, DropIn(second.parameters(), rule, num_steps=9, lr=torch.tensor(0.25)), 3)
    for now, old in zip(values_of(first), values_of(second), strict=True):
        torch.testing.assert_close(now, old)


@every_rule
def test_schedulers_scale_the_update(rule: Optimizer) -> None:
    """The step after a tenfold decay is a tenth of what it would have been."""
    if not rule.lr_scales_update:
        pytest.skip("its rate is more than a factor")
    moves = []
    for factor in (1.0, 0.1):
        model = small_net()
        optimizer = DropIn(model.parameters(), rule, num_steps=9)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step, factor=factor: factor if step else 1.0)
        train(model, optimizer, 1)
        scheduler.step()
        before = model[0].weight.detach().clone()
        train(model, optimizer, 1)
        moves.append(model[0].weight.detach() - before)
    torch.testing.assert_close(moves[1], 0.1 * moves[0], rtol=1e-3, atol=1e-7)


@whole_models
def test_groups_of_one_model_differ_in_rate_and_decay_only(rule: Optimizer) -> None:
    if not rule.lr_scales_update:
        pytest.skip("its rate is more than a factor")
    split, whole = small_net(), small_net()
    groups = [
        {"params": split[0].parameters(), "lr": 0.5 * rule.lr},  # type: ignore[attr-defined]
        {"params": split[2].parameters()},
    ]
    train(split, DropIn(groups, rule, num_steps=4), 1)
    train(whole, DropIn(whole.parameters(), rule, num_steps=4), 1)
    start_of = small_net()
    for k, factor in [(0, 0.5), (2, 1.0)]:
        moved = split[k].weight - start_of[k].weight
        torch.testing.assert_close(moved, factor * (whole[k].weight - start_of[k].weight), rtol=1e-3, atol=1e-6)


def test_groups_differ_in_everything_that_a_coordinatewise_rule_has() -> None:
    model, twin = small_net(), small_net()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.1, "betas": (0.5, 0.9)}]
    mine = l2obench.load("adam", groups, lr=0.01)
    theirs = torch.optim.Adam(
        [{"params": twin[0].parameters()}, {"params": twin[2].parameters(), "lr": 0.1, "betas": (0.5, 0.9)}], lr=0.01
    )
    train(model, mine, 5)
    train(twin, theirs, 5)
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


@every_rule
def test_an_added_group_is_trained(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model[0].parameters(), rule, num_steps=9)
    train(model, optimizer, 2)
    optimizer.add_param_group({"params": model[2].parameters()})
    before = model[2].weight.detach().clone()
    train(model, optimizer, 2)
    assert (model[2].weight != before).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentun": 0.5}, r"adam has no momentun"),
        ({"lr": -1.0}, r"lr of adam: .*greater than 0, got -1\.0"),
        ({"betas": (0.9, 1.5)}, r"beta2 of adam: .*less than 1, got 1\.5"),
        ({"betas": 0.9}, r"betas of adam must be two numbers, got 0\.9"),
        ({"weight_decay": -0.1}, r"weight_decay of adam must be"),
        ({"maximize": "yes and no"}, r"maximize of adam: .*got 'yes and no'"),
        ({"foreach": True}, r"adam has no foreach"),
    ],
)
def test_what_a_group_cannot_have_is_refused_in_a_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        DropIn([{"params": [torch.nn.Parameter(torch.ones(2))], **change}], Adam())
    assert "\n" not in str(raised.value)


def test_what_a_rule_needs_is_asked_for() -> None:
    velo = next(rule for rule in RULES_HERE if rule.name == "velo")
    model = small_net()
    with pytest.raises(ValueError, match=r"velo must know how many steps training will take.*Try: num_steps"):
        DropIn(model.parameters(), velo)
    with pytest.raises(ValueError, match=r"num_steps must be a whole number of at least 1, got 0"):
        DropIn(model.parameters(), velo, num_steps=0)
    optimizer = DropIn(model.parameters(), velo, num_steps=5)
    closure_of(model, optimizer)()
    with pytest.raises(ValueError, match=r"velo needs the loss at every step.*Try: optimizer\.step\(loss=loss\)"):
        optimizer.step()


def test_a_state_of_another_rule_checkpoint_or_model_is_refused_and_nothing_changes() -> None:
    model = small_net()
    first, second = (LSTM(hidden=3).initialised(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    optimizer = DropIn(model.parameters(), first)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    other = DropIn(model.parameters(), second)
    with pytest.raises(ValueError, match=r"belongs to lstm 1 with meta-.*, and this optimizer is lstm 1"):
        other.load_state_dict(state)
    assert not other.state
    with pytest.raises(ValueError, match=r"belongs to lstm .* and this optimizer is adam"):
        DropIn(model.parameters(), Adam()).load_state_dict(state)
    with pytest.raises(ValueError, match="no state of an optimizer of l2obench"):
        DropIn(model.parameters(), Adam()).load_state_dict(torch.optim.Adam(model.parameters()).state_dict())
    larger = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Tanh(), torch.nn.Linear(9, 1))
    with pytest.raises(ValueError, match=r"for parameters of shapes \[\[8, 4\].* and these have \[\[9, 4\]"):
        DropIn(larger.parameters(), first).load_state_dict(state)


def test_a_rule_that_looks_at_all_tensors_is_told_of_them_from_the_start() -> None:
    rule = next(rule for rule in RULES_HERE if rule.name == "velo")
    model = small_net()
    model[0].weight.requires_grad_(False)
    optimizer = DropIn(model.named_parameters(), rule, num_steps=9)
    train(model, optimizer, 1)
    model[0].weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"parameter 0\.weight was frozen at the first step"):
        train(model, optimizer, 1)


def test_steps_beyond_the_horizon_are_like_the_last() -> None:
    rule = optimizer_registry().create("cosine[lr=0.1]")
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=3)
    train(model, optimizer, 40)
    before = values_of(model)
    train(model, optimizer, 5)
    moved = max(float((now - old).abs().max()) for now, old in zip(values_of(model), before, strict=True))
    assert moved < 0.01


@every_rule
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_distributed_checkpoint_goes_on_exactly(rule: Optimizer, tmp_path: Path) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule, num_steps=2 * STEPS)
    train(model, optimizer, STEPS)
    saved = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
    checkpoint.save(saved, checkpoint_id=tmp_path, no_dist=True)
    twin = small_net()
    restored = DropIn(twin.parameters(), rule, num_steps=2 * STEPS)
    held = dict(zip(("model", "optimizer"), get_state_dict(twin, restored), strict=True))
    checkpoint.load(held, checkpoint_id=tmp_path, no_dist=True)
    set_state_dict(twin, restored, model_state_dict=held["model"], optim_state_dict=held["optimizer"])
    train(model, optimizer, STEPS)
    train(twin, restored, STEPS)
    assert_equal(model, twin)


@pytest.mark.parametrize("name", ["muon", "soap", "nadam", "prodigy", "schedule-free", "l-bfgs"])
def test_bridged_rules_are_the_optimizers_of_their_libraries(name: str) -> None:
    model = small_net()
    optimizer = l2obench.load(name, model.named_parameters())
    assert not isinstance(optimizer, DropIn)
    first = train(model, optimizer, 1)
    assert train(model, optimizer, 10) < first


def test_groups_of_bridged_rules_have_values_of_their_own() -> None:
    model = small_net()
    kept = model[2].weight.detach().clone()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0}]
    optimizer = l2obench.load("nadam", groups, betas=(0.8, 0.9))
    assert [group["betas"] for group in optimizer.param_groups] == [(0.8, 0.9)] * 2
    train(model, optimizer, 2)
    assert torch.equal(model[2].weight, kept)
    with pytest.raises(ValueError, match=r"nadam has no maximise. It has: .*maximize"):
        l2obench.load("nadam", [{"params": model.parameters(), "maximise": True}])
    with pytest.raises(ValueError, match="takes one group of parameters, got 2"):
        l2obench.load("l-bfgs", [{"params": model[0].parameters()}, {"params": model[2].parameters()}])
