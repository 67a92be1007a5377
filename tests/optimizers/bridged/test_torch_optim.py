"""Both bridges: our rules where torch.optim is expected, torch's optimizers as our baselines."""

import copy
import io
from typing import Any

import pytest
import torch

from l2obench.api.loading import load
from l2obench.bench.config.registry import BadParameters, optimizer_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import advance, start
from l2obench.optimizers import RULES
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.bridged.torch_optim import DropIn, bridge
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.quadratic import Quadratic

HAND_DESIGNED = [
    name
    for name in RULES
    if issubclass(optimizer_registry().resolve(name), CoordinatewiseOptimizer)
    and not issubclass(optimizer_registry().resolve(name), LearnedOptimizer)
]


def rules() -> list[Optimizer]:
    designed = [optimizer_registry().create(f"{name}[lr=0.01]") for name in HAND_DESIGNED]
    return [*designed, LSTM().initialised(torch.Generator().manual_seed(0))]


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    y = x.sum(1, keepdim=True).sin()
    loss = torch.tensor(0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_drop_in_equals_the_rollout(rule: Optimizer) -> None:
    task = Quadratic(horizon=20)
    problems = Problems(task, [7], dtype=torch.float64)
    with torch.no_grad():
        carry = start(problems, rule)
        for _ in range(20):
            carry = advance(problems, rule, carry)
    again = Problems(task, [7], dtype=torch.float64)
    theta = torch.nn.Parameter(again.start["theta"][0].clone())
    batch = {name: value[0] for name, value in again.minibatch().items()}
    optimizer = DropIn([theta], rule)
    for _ in range(20):
        optimizer.zero_grad()
        task.loss({"theta": theta}, batch).backward()
        optimizer.step()
    torch.testing.assert_close(theta.detach(), carry.params["theta"][0, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_state_dict_round_trip_goes_on_exactly(rule: Optimizer) -> None:
    model = small_net()
    optimizer = DropIn(model.parameters(), rule)
    train(model, optimizer, 5)
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    twin = copy.deepcopy(model)
    restored = DropIn(twin.parameters(), rule)
    buffer.seek(0)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    assert train(model, optimizer, 5) == train(twin, restored, 5)


def test_a_deep_copy_trains_on() -> None:
    model = small_net()
    optimizer = load("adam", model.parameters(), lr=0.01)
    train(model, optimizer, 2)
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    assert train(model, optimizer, 3) == train(twin, twin_optimizer, 3)


def test_parameter_groups_have_their_own_values() -> None:
    model = small_net()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.0}]
    before = [value.detach().clone() for value in model.parameters()]
    optimizer = load("adam", groups, lr=0.1)
    train(model, optimizer, 1)
    moved = [bool((now != old).any()) for now, old in zip(model.parameters(), before, strict=True)]
    assert moved == [True, True, False, False]


def test_added_group_is_trained() -> None:
    model = small_net()
    optimizer = load("nag", model[0].parameters(), lr=0.1)
    optimizer.add_param_group({"params": model[2].parameters()})
    before = model[2].weight.detach().clone()
    train(model, optimizer, 1)
    assert (model[2].weight != before).any()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_schedulers_scale_the_update(rule: Optimizer) -> None:
    """The step after a tenfold decay is a tenth of what it would have been."""
    full, decayed = small_net(), small_net()
    moves = []
    for model, factor in [(full, 1.0), (decayed, 0.1)]:
        optimizer = DropIn(model.parameters(), rule)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step, factor=factor: factor if step else 1.0)
        train(model, optimizer, 1)
        scheduler.step()
        before = model[0].weight.detach().clone()
        train(model, optimizer, 1)
        moves.append(model[0].weight.detach() - before)
    torch.testing.assert_close(moves[1], 0.1 * moves[0], rtol=1e-3, atol=1e-7)


def test_drop_in_closure_and_missing_gradients() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = load("sgd", [used, unused], lr=0.5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = used.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert used.tolist() == [0, 0]
    assert unused.tolist() == [1, 1]


def test_torch_class_as_baseline_equals_ours() -> None:
    task = Quadratic(horizon=30)
    theirs = rollout(task, optimizer_registry().create("torch.optim.Adam[lr=0.1]"), [1, 2], dtype=torch.float64)
    ours = rollout(task, Adam(lr=0.1), [1, 2], dtype=torch.float64)
    torch.testing.assert_close(theirs.losses, ours.losses)


def test_torch_class_takes_stacked_rates() -> None:
    rates = torch.tensor([[0.01, 0.1]])
    bridged = optimizer_registry().create("torch.optim.Adam").stacked({"lr": rates})
    result = rollout(Quadratic(horizon=10), bridged, [1, 2], settings=2)
    expected = rollout(Quadratic(horizon=10), Adam().stacked({"lr": rates}), [1, 2], settings=2)
    torch.testing.assert_close(result.losses, expected.losses, rtol=1e-4, atol=1e-4)


class Decomposes(torch.optim.SGD):
    """As preconditioned rules do, it decomposes an outer product; LAPACK refuses one that is not finite."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                torch.linalg.eigh(torch.outer(param.grad, param.grad))
        return super().step(closure)


def test_a_diverged_replica_that_a_torch_class_refuses_leaves_the_others() -> None:
    rates = torch.tensor([[1e6, 0.001]])
    cls = bridge("decomposes", Decomposes)
    result = rollout(Quadratic(horizon=20), cls().stacked({"lr": rates}), [1, 2], settings=2)
    expected = rollout(Quadratic(horizon=20), SGD(lr=0.001), [1, 2])
    assert (result.diverged_at[:, 0] > 0).all()
    assert (result.diverged_at[:, 1] == -1).all()
    torch.testing.assert_close(result.losses[:, 1], expected.losses[:, 0], rtol=1e-4, atol=1e-4)


def test_torch_state_is_counted() -> None:
    result = rollout(Quadratic(horizon=2), optimizer_registry().create("torch.optim.Adam"), [1, 2])
    assert result.state_bytes >= 2 * 10 * 4


def test_torch_parameters_are_checked() -> None:
    with pytest.raises(BadParameters, match="lr"):
        optimizer_registry().create("torch.optim.Adam[lr=fast]")
    with pytest.raises(BadParameters, match="Did you mean foreach"):
        optimizer_registry().create("torch.optim.Adam[foreah=true]")
