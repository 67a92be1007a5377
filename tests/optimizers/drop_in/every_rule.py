"""Every rule of the registry for tests of drop-ins, a small model, and its training."""

import math
from collections.abc import Callable

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.optimizers import RULES
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.meta_sgd import MetaSGD

STEPS = 6
SMALL = {"velo": "hidden=8,bank=4", "lstm": "hidden=4", "rnnprop": "hidden=4"}


def our_rules() -> list[Optimizer]:
    """Every rule of the registry that is no torch optimizer, learned ones with random meta-parameters."""
    found: list[Optimizer] = []
    for name in RULES:
        cls = optimizer_registry().resolve(name)
        if issubclass(cls, TorchOptimizer) or cls is MetaSGD:
            continue
        rule = optimizer_registry().create(f"{name}[{SMALL[name]}]" if name in SMALL else name)
        generator = torch.Generator().manual_seed(4)
        found.append(rule.initialised(generator) if isinstance(rule, LearnedOptimizer) else rule)
    return found


RULES_HERE = our_rules()
every_rule = pytest.mark.parametrize("rule", RULES_HERE, ids=lambda rule: rule.name)
whole_models = pytest.mark.parametrize(
    "rule", [rule for rule in RULES_HERE if not isinstance(rule, CoordinatewiseOptimizer)], ids=lambda rule: rule.name
)


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def closure_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], torch.Tensor]:
    first = next(model.parameters())
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    y = x.sum(1, keepdim=True).sin()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = (model(x.to(first)) - y.to(first)).square().mean()
        loss.backward()
        return loss.detach()

    return closure


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    closure = closure_of(model, optimizer)
    loss = math.nan
    for _ in range(steps):
        loss = float(optimizer.step(closure))
    return loss


def values_of(model: torch.nn.Module) -> list[torch.Tensor]:
    return [param.detach().clone() for param in model.parameters()]


def assert_equal(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.isfinite(mine).all()
        assert torch.equal(mine, other)
