"""Cosine decay is torch's scheduler on torch's rules, step by step, in float64; and what it needs to be told."""

from typing import get_args

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.designed.cosine import RULES, Cosine
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.tasks.quadratic import Quadratic
from tests.optimizers.designed.test_rules import rosenbrock

STEPS = 40
REFERENCES = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "nag": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def test_the_rules_are_those_of_the_parameter() -> None:
    assert sorted(RULES) == sorted(get_args(Cosine.model_fields["rule"].annotation)) == sorted(REFERENCES)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_whole_run_is_torchs(name: str) -> None:
    start = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    optimizer = REFERENCES[name]([theirs], lr=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    rule = optimizer_registry().create(f"cosine[rule={name},lr=0.02]")
    ours = {"x": start[None, None]}
    state = rule.init(ours)
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = rosenbrock(theirs)
        value.backward()
        optimizer.step()
        scheduler.step()
        grads = {"x": torch.func.grad(rosenbrock)(ours["x"][0, 0])[None, None]}
        updates, state = rule.update(grads, rule.observe(state, value.detach().view(1, 1), STEPS), ours)
        ours = {"x": ours["x"] + updates["x"]}
        torch.testing.assert_close(ours["x"][0, 0], theirs.detach(), rtol=0, atol=1e-9)
    assert (ours["x"] - start).abs().max() > 0.05


def test_each_replica_has_its_own_rate() -> None:
    """Rates stacked for tuning give what each gives alone."""
    task, rates = Quadratic(dim=4, horizon=STEPS), [0.01, 0.1]
    stacked = Cosine(rule="nag").stacked({"lr": torch.tensor([rates])})
    together = rollout(task, stacked, [1, 2], settings=2, evaluate=False).losses
    for k, rate in enumerate(rates):
        alone = rollout(task, Cosine(rule="nag", lr=rate), [1, 2], evaluate=False).losses
        torch.testing.assert_close(together[:, k], alone[:, 0])


def test_without_the_number_of_steps_it_stops() -> None:
    params = {"x": torch.ones(1, 1, 3)}
    rule = Cosine()
    with pytest.raises(ValueError, match=r"must know the number of steps, got none\. Try: call observe"):
        rule.update(params, rule.init(params), params)
    with pytest.raises(ValueError, match="cosine must know how many steps"):
        DropIn([torch.nn.Parameter(torch.ones(3))], rule)


@pytest.mark.parametrize("name", REFERENCES)
def test_it_is_the_scheduled_rule_up_to_rounding(name: str) -> None:
    """Not to the last bit: so checkpoints and reference results that name this rule keep it."""
    task = Quadratic(dim=4, horizon=STEPS)
    here, there = (
        rollout(task, optimizer_registry().create(identity), [1, 2], evaluate=False).losses
        for identity in (f"cosine[rule={name},lr=0.01]", f"{name}[lr=0.01,schedule=cosine]")
    )
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-6)
