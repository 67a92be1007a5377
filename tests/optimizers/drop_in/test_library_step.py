"""Bridged optimizers take a loss as ours do, keep schedules in copies and pickles, and call hooks once."""

import copy
import pickle

import pytest
import torch

import l2obench

NAMES = ["nadam", "muon", "soap", "lion", "adafactor"]


def step(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    net(torch.ones(4, 3)).square().mean().backward()
    optimizer.step()
    return float(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_go_on_with_the_schedule(name: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    optimizer = l2obench.load(f"{name}[schedule=linear]", net.parameters(), num_steps=10)
    rates = [step(net, optimizer) for _ in range(3)]
    twins = [copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))]
    rates += [step(net, optimizer) for _ in range(3)]
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(rates[0] * 0.5)
    for twin, own in twins:
        assert [step(twin, own) for _ in range(3)] == rates[3:]
        for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine, other)
        assert type(own).__name__ == type(optimizer).__name__


@pytest.mark.parametrize("name", ["nadam", "muon", "soap", "lion", "adafactor", "prodigy", "schedule-free", "radam"])
def test_a_loss_is_welcome_and_copies_step_as_the_original(name: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    optimizer = l2obench.load(name, net.parameters())
    step(net, optimizer)
    twin, own = copy.deepcopy((net, optimizer))
    for model, other in ((net, optimizer), (twin, own)):
        other.zero_grad()
        loss = model(torch.ones(4, 3)).square().mean()
        loss.backward()
        other.observe(loss)  # type: ignore[attr-defined]
        other.step(loss=loss)  # type: ignore[call-arg]
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


OF_LIBRARIES = ["nadam", "radam", "adafactor", "l-bfgs", "lion", "muon", "soap", "schedule-free", "prodigy"]


def ascent(name: str, sign: float, **values: bool) -> list[torch.Tensor]:
    """Parameters after three steps on a loss times a sign."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    optimizer = l2obench.load(name, net.parameters(), **values)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = sign * net(torch.ones(4, 3)).sin().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return [param.detach() for param in net.parameters()]


@pytest.mark.parametrize("name", OF_LIBRARIES)
def test_maximize_is_the_step_on_the_negated_loss(name: str) -> None:
    for up, down in zip(ascent(name, 1.0, maximize=True), ascent(name, -1.0), strict=True):
        torch.testing.assert_close(up, down)


@pytest.mark.parametrize("name", ["nadam", "radam", "adafactor", "l-bfgs"])
def test_decay_is_decoupled_where_the_rule_has_none_of_its_own(name: str) -> None:
    """The first step takes lr λ θ besides what it takes without decay; adafactor's rate is one of its own making."""
    start, found = torch.tensor([3.0, -2.0]), []
    for decay in (0.0, 0.1):
        param = torch.nn.Parameter(start.clone())
        optimizer = l2obench.load(name, [param], weight_decay=decay)

        def closure(param: torch.nn.Parameter = param) -> torch.Tensor:
            param.grad = torch.tensor([0.1, 0.2])
            return torch.tensor(1.0)

        optimizer.step(closure)
        found.append(param.detach())
        rate = optimizer.param_groups[0]["lr"]
    torch.testing.assert_close(found[1], found[0] - rate * 0.1 * start, rtol=1e-5, atol=1e-6)


def test_hooks_are_called_once_a_step_in_copies_too() -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = l2obench.load("nadam[schedule=cosine]", net.parameters(), num_steps=10)
    for own in (optimizer, copy.deepcopy(optimizer)):
        called: list[int] = []
        own.register_step_pre_hook(lambda *_, called=called: called.append(1))
        step(net, own)
        assert called == [1]
