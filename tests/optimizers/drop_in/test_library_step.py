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


def test_hooks_are_called_once_a_step_in_copies_too() -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = l2obench.load("nadam[schedule=cosine]", net.parameters(), num_steps=10)
    for own in (optimizer, copy.deepcopy(optimizer)):
        called: list[int] = []
        own.register_step_pre_hook(lambda *_, called=called: called.append(1))
        step(net, own)
        assert called == [1]
