"""Schedules against torch's own schedulers, for rules of ours, of torch and of plugins, in runs and drop-in."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

import l2obench
from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import BadParameters, identify, optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.rollout import compiled
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.scheduled import FIELDS, Scheduled, schedule_factor, with_schedule

HORIZON = 40
TASK = f"quadratic[dim=4,horizon={HORIZON}]"
Make = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def torchs(schedule: str, warmup: int, cooldown: int) -> Make:
    """The same schedule, put together from torch's."""

    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        left = HORIZON - warmup
        parts: list[lr_scheduler.LRScheduler] = []
        milestones = []
        if warmup:
            parts.append(lr_scheduler.LinearLR(optimizer, 1 / warmup, 1, total_iters=max(1, warmup - 1)))
            milestones.append(warmup)
        if schedule == "cosine":
            parts.append(lr_scheduler.CosineAnnealingLR(optimizer, T_max=left))
        elif schedule == "linear":
            parts.append(lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=left))
        else:
            parts.append(lr_scheduler.ConstantLR(optimizer, factor=1))
        if schedule == "wsd":
            parts.append(lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=cooldown))
            milestones.append(HORIZON - cooldown)
        return lr_scheduler.SequentialLR(optimizer, parts, milestones)

    return make


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*")
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize("warmup", [0, 2, 10])
def test_factors_are_those_of_torchs_schedulers(schedule: Any, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = torchs(schedule, warmup, cooldown=12)(optimizer)
    horizon = torch.full((2, 3), float(HORIZON))
    for step in range(HORIZON):
        ours = schedule_factor(schedule, warmup / HORIZON, 0.3, step, horizon)
        assert ours.shape == (2, 3)
        assert float(ours[0, 0]) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        theirs.step()


CLASSES: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "nadam": torch.optim.NAdam}


def roll_out_torch(name: str, lr: float, make_schedule: Make) -> Tensor:
    """Losses `[steps]` of a torch optimizer under a torch scheduler, on one function."""

    class Torchs(Optimizer):
        """Steps a torch optimizer and its scheduler."""

        def init(self, params: Tensors) -> State:
            own = {key: torch.nn.Parameter(value.clone()) for key, value in params.items()}
            optimizer = CLASSES[name](own.values(), lr=lr)
            return {"own": own, "of": optimizer, "schedule": make_schedule(optimizer)}

        def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
            for key, value in state["own"].items():
                value.data.copy_(params[key])
                value.grad = grads[key].clone()
            state["of"].step()
            state["schedule"].step()
            return {key: value.detach() - params[key] for key, value in state["own"].items()}, state

    Torchs.name = "torchs"
    return rollout(task_registry().create(TASK), Torchs(), [3], evaluate=False).losses[0, 0]


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*")
@pytest.mark.parametrize("name", ["sgd", "adam", "nadam"])
@pytest.mark.parametrize("parameters", ["schedule=cosine,warmup=0.1", "schedule=wsd", "schedule=linear"])
def test_a_scheduled_rule_is_torchs_under_torchs_scheduler(name: str, parameters: str) -> None:
    lr = 0.003
    rule = optimizer_registry().create(f"{name}[lr={lr},{parameters}]")
    ours = rollout(task_registry().create(TASK), rule, [3], evaluate=False).losses[0, 0]
    asked = parse_identity(f"x[{parameters}]")[1]
    warmup = round(asked.get("warmup", 0) * HORIZON)
    theirs = roll_out_torch(name, lr, torchs(asked["schedule"], warmup, cooldown=12))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


class Mine(Optimizer):
    """A plugin's rule that looks at all tensors."""

    name = "mine"
    lr: float = 0.1

    def init(self, params: Tensors) -> State:
        return {}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        return {key: -per_replica(self.lr, grad) * grad.sign() for key, grad in grads.items()}, state


class Taken(Mine):
    """Has a warm-up of its own."""

    name = "taken"
    warmup: int = 5


@pytest.mark.parametrize(
    "identity",
    [
        "adam[schedule=cosine]",
        "momentum[cooldown=0.5,lr=0.01,schedule=wsd,warmup=0.1]",
        "adam[warmup=0.1]",
        "l-bfgs[schedule=linear]",
        "torch.optim.SGD[lr=0.01,schedule=cosine]",
        "lstm[checkpoint=quadratic,schedule=cosine]",
        "rnnprop[checkpoint=general-rnnprop,schedule=linear]",
    ],
)
def test_the_identity_carries_the_schedule(identity: str) -> None:
    rule = optimizer_registry().create(identity)
    name, parameters = parse_identity(identity)
    assert identify(rule) == identity
    assert isinstance(rule, Scheduled)
    assert rule.name == name
    assert "horizon" in rule.uses
    plain = optimizer_registry().create(name, {key: parameters[key] for key in parameters.keys() - {*FIELDS}})
    assert isinstance(rule, type(plain).__mro__[1])
    assert rule.tunable == plain.tunable
    assert plain.uses == tuple(use for use in rule.uses if use != "horizon" or use in plain.uses)
    assert bool(rule.meta_parameters) == bool(plain.meta_parameters)
    result = rollout(task_registry().create(TASK), rule, [1, 2], evaluate=False)
    assert result.losses.isfinite().all()


def test_a_constant_rate_is_the_rule_itself() -> None:
    assert identify(optimizer_registry().create("adam[schedule=constant]")) == "adam"
    assert not isinstance(optimizer_registry().create("adam[schedule=constant]"), Scheduled)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("adam[schedule=cosin]", "schedule"),
        ("adam[warmup=1.5]", "warmup"),
        ("adam[schedule=wsd,warmup=0.5,cooldown=0.6]", "at most 1 together, got 0.5 and 0.6. Try: "),
        ("adam[schedule=cosine,cooldown=0.5]", "cooldown belongs to schedule=wsd"),
    ],
)
def test_what_is_no_schedule_is_refused(identity: str, message: str) -> None:
    with pytest.raises(BadParameters, match=message):
        optimizer_registry().create(identity)


def test_a_rule_with_a_field_of_that_name_keeps_it() -> None:
    with pytest.raises(ValueError, match="taken has a warmup of its own, so it takes no schedule of l2obench"):
        with_schedule(Taken)


def test_a_plugins_rule_and_a_grid_of_rates_are_scheduled() -> None:
    rates = torch.tensor([[0.1, 0.01, 0.001]])
    task = task_registry().create(TASK)
    rule = with_schedule(Mine)(schedule="cosine")
    together = rollout(task, rule.stacked({"lr": rates}), [1, 2], settings=3, evaluate=False).losses
    for place, rate in enumerate(rates[0].tolist()):
        alone = rollout(task, rule.model_copy(update={"lr": rate}), [1, 2], evaluate=False).losses
        torch.testing.assert_close(together[:, place], alone[:, 0], rtol=1e-5, atol=1e-6)


def test_the_last_steps_of_a_cosine_hardly_move() -> None:
    task = task_registry().create(TASK)
    losses = rollout(task, optimizer_registry().create("sgd[lr=0.02,schedule=cosine]"), [1], evaluate=False).losses
    constant = rollout(task, optimizer_registry().create("sgd[lr=0.02]"), [1], evaluate=False).losses
    assert losses[0, 0, 1] == constant[0, 0, 1]
    first, last = (losses[0, 0, 1] - losses[0, 0, 0]).abs(), (losses[0, 0, -1] - losses[0, 0, -2]).abs()
    assert last < 0.01 * first


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_run_gives_the_same(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one graph with its loop. A program in C++, made of it, takes half a minute to make."""
    if backend != "inductor":
        loop = torch.compile(compiled._loop, dynamic=False, fullgraph=True, backend=backend)
        monkeypatch.setattr(compiled, "compiled_loop", lambda: loop)
    task = task_registry().create("quadratic[dim=4,horizon=20]")
    rule = optimizer_registry().create("adam[lr=0.05,schedule=wsd,warmup=0.2]")
    plain = rollout(task, rule, [1, 2], evaluate=False).losses
    found = rollout(task, rule, [1, 2], evaluate=False, options=RunOptions(compile=True)).losses
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-6)


def train(optimizer: torch.optim.Optimizer, theta: Tensor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (theta.square() * torch.tensor([1.0, 5.0])).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["adam[lr=0.1,schedule=cosine,warmup=0.2]", "nadam[lr=0.1,schedule=linear]"])
def test_a_drop_in_follows_the_schedule_and_goes_on_from_a_checkpoint(name: str) -> None:
    with pytest.raises(ValueError, match="num_steps"):
        l2obench.load(name, [torch.nn.Parameter(torch.ones(2))])
    whole, parted = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    train(l2obench.load(name, [whole], num_steps=10), whole, 10)
    first = l2obench.load(name, [parted], num_steps=10)
    train(first, parted, 4)
    saved = copy.deepcopy(first.state_dict())
    second = l2obench.load(name, [parted], num_steps=10)
    second.load_state_dict(saved)
    train(second, parted, 6)
    torch.testing.assert_close(parted, whole)
    constant = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    train(l2obench.load(name.partition("[")[0], [constant], lr=0.1), constant, 10)
    assert not torch.allclose(constant, whole, rtol=1e-2)


def test_a_drop_in_is_the_rule_of_a_run() -> None:
    task = task_registry().create("quadratic[dim=4,horizon=10]")
    rule = optimizer_registry().create("adam[lr=0.05,schedule=wsd]")
    params = {"x": torch.ones(1, 1, 3)}
    theta = torch.nn.Parameter(torch.ones(3))
    optimizer = l2obench.load("adam[lr=0.05,schedule=wsd]", [theta], num_steps=10)
    state = rule.init(params)
    for _ in range(10):
        grads = {"x": 2 * params["x"]}
        theta.grad = 2 * theta.detach()
        state = rule.observe(state, torch.zeros(1, 1), task.horizon)
        updates, state = rule.update(grads, state, params)
        params = {"x": params["x"] + updates["x"]}
        optimizer.step()
    torch.testing.assert_close(theta.detach(), params["x"][0, 0])


def test_a_learned_rule_with_a_schedule_is_not_trained() -> None:
    from l2obench.bench.config.recipe import Recipe, RecipeError

    with pytest.raises(RecipeError, match="without a schedule"):
        Trainer(Recipe(optimizer="lstm[schedule=cosine]", task="quadratic"))
