"""Nothing mixes devices: rollouts and meta-training on fake tensors of another device than the CPU.

Fake tensors have shapes and a device but no values, and an operation on two devices is an error, as on a GPU. Whatever
asks for a value gets that of `VALUES`.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.measure import timing
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.process import set_up_process
from l2obench.bench.rollout import guard, step
from l2obench.bench.rollout import loop as rollout
from l2obench.foundation import global_settings
from l2obench.optimizers import RULES as RULES_BY_NAME
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks import transformer
from l2obench.tasks.data import unicode_names
from l2obench.tasks.data.unicode_names import codes
from l2obench.tasks.module import ModuleTask

DEVICE = "meta"  # the one that has a backward pass without a driver
VALUES = {"__bool__": True, "item": 0.5, "__float__": 0.5, "__int__": 1}
SEEDS = [0, 1]
TASKS = sorted({*task_registry().entries} - {"cifar-cnn"} | {"cifar-cnn[batch=8,channels=3]"})
# The others are modules, which PyTorch moves nowhere where tensors are fake.
FUNCTIONAL = [name for name in TASKS if not issubclass(task_registry().resolve(name.partition("[")[0]), ModuleTask)]
# Where a patch lies is a number, which a fake tensor does not have.
FUNCTIONAL[FUNCTIONAL.index("deblurring")] = "deblurring[patches=0]"
# Without meta-sgd, which has a rate for each parameter of one network.
LEARNED = [
    name
    for name in sorted(RULES_BY_NAME)
    if name != "meta-sgd" and issubclass(optimizer_registry().resolve(name), LearnedOptimizer)
]
HAND_DESIGNED = sorted({*optimizer_registry().entries} - {*LEARNED, "meta-sgd"})
RULES = [*HAND_DESIGNED, *(f"{name}[checkpoint=random]" for name in LEARNED), "general"]
RECIPES: list[dict[str, Any]] = [
    # The quadratic has a vector only, which these leave to Adam.
    *({"optimizer": name} for name in LEARNED if name not in ("celo2", "elo-celo2")),
    {"optimizer": "lstm", "coordinates": 4},
    {"optimizer": "lstm", "second_order": True},
    {"optimizer": "lstm", "weighting": "learned"},
    {"optimizer": "lstm", "coordinate_scaling": 1.0, "loss_scaling": 1.0},
    {"optimizer": "lstm", "imitation": 1, "teacher": "adam"},
    {"optimizer": "lstm", "objective": "best-so-far"},
    *({"optimizer": "mlp", "estimator": name} for name in ("full", "es", "pes", "nres")),
]


@pytest.fixture(scope="module")
def mode() -> Iterator[FakeTensorMode]:
    """One for all tests: what tasks keep of their data belongs to it, and is forgotten after them."""
    yield FakeTensorMode(allow_non_fake_inputs=True)
    for name, module in list(sys.modules.items()):
        if name.startswith("l2obench.tasks"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@pytest.fixture
def elsewhere(mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """Within it, tensors are fake, and of `DEVICE` where that is named."""

    def value_of(name: str, fake: Any) -> None:
        real = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda self: fake if isinstance(self, FakeTensor) else real(self))

    for name, fake in VALUES.items():
        value_of(name, fake)
    monkeypatch.setattr(guard, "same", lambda one, other: True)
    # The generator's state is a tensor, and a fake one cannot be compared.
    monkeypatch.setattr(global_settings, "_same", lambda one, other: isinstance(one, Tensor) or bool(one == other))
    monkeypatch.setattr(step, "require_own", lambda *_: None)  # there is no memory
    return mode


def test_a_tensor_left_on_the_cpu_is_found(elsewhere: FakeTensorMode) -> None:
    with elsewhere, pytest.raises(RuntimeError, match="same device"):
        torch.zeros(3, device=DEVICE) + torch.zeros(3)


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_tasks(name: str, elsewhere: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    adam = optimizer_registry().create("adam")
    task = task_registry().create(name).model_copy(update={"horizon": 2})
    rollout.rollout(task, adam, SEEDS[:1])  # brings the data, which are real
    text = {split: codes(split, torch.device("cpu")) for split in ("train", "test")}  # type: ignore[arg-type]
    for module in (transformer, unicode_names):
        monkeypatch.setattr(module, "codes", lambda split, device: text[split].to(device))
    with elsewhere:
        rollout.rollout(task, adam, SEEDS, options=RunOptions(device=DEVICE))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("task", ["quadratic[horizon=2]", "mnist-mlp[batch=4,horizon=2]"])
def test_rules(name: str, task: str, elsewhere: FakeTensorMode) -> None:
    rule, functions = optimizer_registry().create(name), task_registry().create(task)
    rollout.rollout(functions, rule, SEEDS)
    with elsewhere:
        if "lr" in rule.tunable:
            rule = rule.stacked({"lr": torch.full((1, 2), 0.1, device=DEVICE)})
        rollout.rollout(functions, rule, SEEDS, 2, options=RunOptions(device=DEVICE))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("rule", ["adam", "general"])
@pytest.mark.parametrize("name", TASKS)
def test_a_gpu_gives_the_numbers_of_the_cpu(name: str, rule: str) -> None:
    set_up_process()
    task = task_registry().create(name).model_copy(update={"horizon": 3})
    here, there = (
        rollout.rollout(task, optimizer_registry().create(rule), SEEDS, options=RunOptions(device=device)).losses
        for device in ("cpu", "cuda")
    )
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_float32_is_not_rounded_on_a_gpu() -> None:
    set_up_process()
    assert torch.backends.cudnn.conv.fp32_precision != "tf32"
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"


def test_step_times(elsewhere: FakeTensorMode) -> None:
    rules = [optimizer_registry().create(name) for name in ("adam", "general", "l-bfgs")]
    with elsewhere:
        rows = timing.time_steps(task_registry().create("quadratic[horizon=5]"), rules, DEVICE)
    assert all("reason" not in row and "update_bytes" in row for row in rows), rows


def test_timing_waits_for_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    timing._synchronizer(torch.device("cuda:1"))()
    timing._synchronizer(torch.device("cpu"))()
    assert waited == [torch.device("cuda:1")]


@pytest.mark.parametrize("settings", RECIPES, ids=lambda settings: " ".join(map(str, settings.values())))
def test_meta_training(settings: dict[str, Any], elsewhere: FakeTensorMode) -> None:
    sizes = {"trajectories": 2, "validate_every": 1, "functions": 2, "validation_functions": 2, "unroll": 3}
    with elsewhere:
        trainer = Trainer(Recipe(task="quadratic[horizon=6]", **sizes, **settings), DEVICE)
        progress = trainer.run_trajectory(trainer.begin())
    found = {**progress.phi, **progress.mean, **progress.average}
    assert {tensor.device.type for tensor in found.values()} == {DEVICE}
