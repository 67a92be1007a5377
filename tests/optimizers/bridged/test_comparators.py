"""The rules that come from libraries: each is the library's own, step for step, at the price of one gradient a step."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytorch_optimizer
import torch

from l2obench.bench.config.registry import BadParameters, optimizer_registry
from l2obench.bench.config.suite import make_suite
from l2obench.bench.contract.optimizer_requirements import REQUIREMENTS, require_of_optimizer
from l2obench.bench.measure.timing import COUNTED_STEPS, TIMED_STEPS, WARM_UP_STEPS, time_steps
from l2obench.bench.rollout.loop import rollout
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers import RULES
from l2obench.optimizers.base import Optimizer, Tensors
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.designed.adamw import AdamW
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

NAMES = [name for name in RULES if issubclass(optimizer_registry().resolve(name), TorchOptimizer)]
FROM_PACKAGE = ["lion", "muon", "soap", "schedule-free", "prodigy"]
DOUBLE = torch.float64
SHAPES: dict[str, tuple[int, ...]] = {"weight": (3, 4), "bias": (4,), "scale": ()}


def loss(params: Tensors) -> torch.Tensor:
    """A small perceptron's, not convex, without minibatches."""
    x = torch.linspace(-1, 1, 15, dtype=DOUBLE).view(5, 3)
    return ((x @ params["weight"] + params["bias"]).tanh().sum(1) * params["scale"] - x.sum(1).sin()).square().mean()


def begin() -> Tensors:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}


def muon(params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    groups = [{"params": params[:1], "use_muon": True}, {"params": params[1:], "use_muon": False}]
    return pytorch_optimizer.Muon(groups, lr=0.02, use_adjusted_lr=True, adamw_lr=0.02)


PAIRS: dict[str, Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "nadam[lr=0.05,beta1=0.8]": lambda p: torch.optim.NAdam(p, lr=0.05, betas=(0.8, 0.999)),
    "radam[lr=0.05,beta2=0.9]": lambda p: torch.optim.RAdam(p, lr=0.05, betas=(0.9, 0.9)),
    "adafactor[lr=0.1]": lambda p: torch.optim.Adafactor(p, lr=0.1),
    "l-bfgs[lr=0.5,history=5]": lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=1, history_size=5),
    "lion[lr=0.01,weight_decay=0.1]": lambda p: pytorch_optimizer.Lion(p, lr=0.01, weight_decay=0.1),
    "muon[lr=0.02]": muon,
    "soap[frequency=3,lr=0.02,precondition_1d=true]": lambda p: pytorch_optimizer.SOAP(
        p, lr=0.02, weight_decay=0, precondition_frequency=3, precondition_1d=True
    ),
    "schedule-free[lr=0.05,warmup_steps=4]": lambda p: pytorch_optimizer.ScheduleFreeAdamW(p, lr=0.05, warmup_steps=4),
    "prodigy[d_coef=2]": lambda p: pytorch_optimizer.Prodigy(p, d_coef=2),
}


def test_there_is_a_reference_for_each() -> None:
    assert [identity.partition("[")[0] for identity in PAIRS] == NAMES


@pytest.mark.parametrize("identity", PAIRS)
def test_thirty_steps_are_the_librarys_own(identity: str) -> None:
    """The reference has a closure that asks for a gradient, where it wants one, and may ask once a step."""
    theirs = {name: torch.nn.Parameter(value) for name, value in begin().items()}
    optimizer = PAIRS[identity](list(theirs.values()))
    asked = []

    def closure() -> torch.Tensor:
        asked.append(optimizer.zero_grad())
        value = loss(theirs)
        value.backward()
        return value

    rule = optimizer_registry().create(identity)
    ours = {name: value[None, None] for name, value in begin().items()}
    state = rule.init(ours)
    for _ in range(30):
        optimizer.step(closure)
        grads = torch.func.grad(loss)({name: value[0, 0] for name, value in ours.items()})
        updates, state = rule.update({name: grad[None, None] for name, grad in grads.items()}, state, ours)
        ours = {name: value + updates[name] for name, value in ours.items()}
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name][0, 0], value.detach(), rtol=1e-9, atol=1e-9, msg=name)
    assert len(asked) == 30
    assert float(loss({name: value[0, 0] for name, value in ours.items()})) < float(loss(begin()))


@pytest.mark.parametrize("requirement", REQUIREMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_kept(name: str, requirement: str) -> None:
    require_of_optimizer(optimizer_registry().create(name), requirement)


def test_a_grid_of_rates_is_a_run_for_each() -> None:
    task, rates = Quadratic(horizon=15), [0.003, 0.03]
    for name in [name for name in NAMES if optimizer_registry().resolve(name).tunable]:
        rule = optimizer_registry().create(name)
        grid = rollout(task, rule.stacked({"lr": torch.tensor([rates])}), [1, 2], 2, evaluate=False)
        for k, rate in enumerate(rates):
            alone = rollout(task, rule.model_copy(update={"lr": rate}), [1, 2], evaluate=False)
            torch.testing.assert_close(grid.losses[:, k : k + 1], alone.losses, rtol=1e-4, atol=1e-5, msg=name)


def test_l_bfgs_ends_a_quadratic_that_adam_does_not() -> None:
    """Without minibatches its pairs are exact: some forty steps in ten dimensions are enough for float64."""
    task = Quadratic(horizon=60)
    found = rollout(task, optimizer_registry().create("l-bfgs"), [1, 2, 3], dtype=DOUBLE, evaluate=False)
    adam = rollout(task, optimizer_registry().create("adam[lr=0.1]"), [1, 2, 3], dtype=DOUBLE, evaluate=False)
    assert (found.losses[..., -1] < 1e-3 * adam.losses[..., -1]).all()


def test_muon_is_adamw_where_there_is_no_matrix_and_orthogonal_where_there_is() -> None:
    task = Quadratic(horizon=20)
    found = rollout(task, optimizer_registry().create("muon[lr=0.1]"), [1, 2], dtype=DOUBLE, evaluate=False)
    adamw = AdamW(lr=0.1, beta2=0.95, epsilon=1e-10, weight_decay=0)
    torch.testing.assert_close(found.losses, rollout(task, adamw, [1, 2], dtype=DOUBLE, evaluate=False).losses)
    params = {"kernel": torch.zeros(1, 1, 4, 2, 3, 3)}
    rule = optimizer_registry().create("muon[lr=1]")
    grads = {"kernel": torch.randn(1, 1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0))}
    updates, _ = rule.update(grads, rule.init(params), params)
    singular = torch.linalg.svdvals(updates["kernel"].reshape(4, 18)) / (0.2 * 18**0.5)
    assert ((singular > 0.6) & (singular < 1.3)).all()


@pytest.mark.parametrize("schedule", ["", ",schedule=cosine"])
def test_vectors_of_muon_have_a_rate_of_their_own(schedule: str) -> None:
    task = Quadratic(horizon=20)
    parted = optimizer_registry().create(f"muon[lr=0.005,vector_rate=20{schedule}]")
    alike = optimizer_registry().create(f"muon[lr=0.1{schedule}]")
    losses = [rollout(task, rule, [1, 2], dtype=DOUBLE, evaluate=False).losses for rule in (parted, alike)]
    torch.testing.assert_close(*losses)
    matrix, rule = torch.ones(1, 1, 4, 3), optimizer_registry().create("muon[lr=1]")
    steps = [
        each.update({"w": matrix}, each.init({"w": matrix}), {"w": matrix})[0]["w"]
        for each in (rule, rule.model_copy(update={"vector_rate": 20.0}))
    ]
    assert torch.equal(*steps)


def schedule_free(seed: int, lr: float, steps: int) -> list[tuple[Tensors, float]]:
    """x after each step and its loss, by the paper's three sequences: gradients at y, losses at x, one minibatch."""
    problems = Problems(TASK, [seed], dtype=DOUBLE)
    y = {name: value[:, None] for name, value in problems.start.items()}
    z, x, square = y, y, {name: torch.zeros_like(value) for name, value in y.items()}
    course = []
    for step in range(1, steps + 2):
        batch = problems.minibatch()
        course.append((x, float(TASK.loss_and_grad(x, batch)[0])))
        _, grads = TASK.loss_and_grad(y, batch)
        square = {name: 0.999 * square[name] + 0.001 * grad**2 for name, grad in grads.items()}
        correction = 1 - 0.999**step
        z = {
            name: z[name] - lr * grad / ((square[name] / correction + 1e-15).sqrt() + 1e-8)
            for name, grad in grads.items()
        }
        x = {name: (1 - 1 / step) * value + z[name] / step for name, value in x.items()}
        y = {name: 0.1 * z[name] + 0.9 * value for name, value in x.items()}
    return course


TASK = MnistMlp(units=3, batch=8, horizon=12)


@pytest.mark.parametrize("identity", ["schedule-free[lr=0.05]", "pytorch_optimizer.ScheduleFreeAdamW[lr=0.05]"])
def test_schedule_free_is_recorded_where_a_user_would_evaluate_it(identity: str) -> None:
    """Losses and held-out metrics are those of the average x, although gradients are taken at y."""
    found = rollout(TASK, optimizer_registry().create(identity), [3], dtype=DOUBLE)
    course = schedule_free(3, 0.05, TASK.horizon)
    torch.testing.assert_close(found.losses[0, 0], torch.tensor([value for _, value in course], dtype=DOUBLE))
    expected = TASK.evaluate(course[-1][0])
    for name, value in found.heldout.items():
        torch.testing.assert_close(value, expected[name])


def test_the_pass_at_the_average_is_not_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []

    def counted(self: Quadratic, *given: Any, whole: Any = Quadratic.loss_and_grad) -> Any:
        passes.append(self)
        return whole(self, *given)

    monkeypatch.setattr(Quadratic, "loss_and_grad", counted)
    time_steps(Quadratic(), [optimizer_registry().create("schedule-free")])
    before_the_first_step = 2  # at θ₀, where y and x are one
    assert len(passes) == before_the_first_step + WARM_UP_STEPS + TIMED_STEPS + COUNTED_STEPS


def cells(folder: Path, optimizers: list[str], tracks: list[str], task: str = "quadratic[horizon=20]") -> pd.DataFrame:
    suite = {"seeds": 2, "tuning_seeds": 2, "tracks": tracks, "optimizers": optimizers, "tasks": [{"task": task}]}
    Runner(RunFolder(folder), make_suite("test", suite).cells()).execute({"suite": "test"})
    return pd.read_parquet(folder / "cells")


def test_prodigy_has_no_rate_to_tune(tmp_path: Path) -> None:
    frame = cells(tmp_path / "run", ["prodigy", "radam"], ["default", "tuned"])
    tracks = frame.groupby("optimizer")["track"].agg(set).to_dict()
    assert tracks == {"prodigy": {"default"}, "radam": {"default", "tuned"}}
    assert set(frame["status"]) == {"ok"}


def test_what_diverges_or_raises_has_rows_that_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("no step today")

    monkeypatch.setattr(pytorch_optimizer.Lion, "step", refuse)
    frame = cells(tmp_path / "run", ["lion", "nadam[lr=1e30]", "radam"], ["default"])
    status = frame.groupby("optimizer")["status"].agg(set).to_dict()
    assert status == {"lion": {"error"}, "nadam[lr=1e+30]": {"diverged"}, "radam": {"ok"}}
    assert frame[frame["status"] == "error"]["reason"].str.contains("no step today").all()


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in FROM_PACKAGE:
        with pytest.raises(BadParameters, match=rf"^optimizer {name}: .* pip install 'pytorch-optimizer>=4\.1'$"):
            optimizer_registry().create(name)
    made: Optimizer = optimizer_registry().create("nadam")
    assert made.name == "nadam"
