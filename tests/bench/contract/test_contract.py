"""The contract test says of a sound plugin that it is, and of each defect which."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from l2obench.bench.config.registry import BadParameters, UnknownName
from l2obench.bench.contract import optimizer_requirements, task_requirements
from l2obench.bench.run.plugin_test import Finding, examine, find_subject

RULES = '''
import os, time
import torch
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.optimizers.designed.sgd import SGD


class Sound(SGD):
    pass


class Shapes(SGD):
    def update_tensor(self, grad, state, param):
        return -0.01 * grad.sum(-1, keepdim=True), state


class Infinite(SGD):
    def update_tensor(self, grad, state, param):
        return grad / 0, state


class Mutates(SGD):
    def update_tensor(self, grad, state, param):
        param.data.sub_(0.01 * grad)
        return -0.01 * grad, state


class Keeps(SGD):
    """A momentum that is handed out as it is."""

    def init_tensor(self, param):
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(self, grad, state, param):
        velocity = 0.9 * state["velocity"] - 0.01 * grad
        return velocity, {"velocity": velocity}


class Random(SGD):
    def update_tensor(self, grad, state, param):
        return -0.01 * grad * torch.rand(()), state


class Normalises(SGD):
    """By the gradients of all replicas."""

    def update_tensor(self, grad, state, param):
        return -0.01 * grad / grad.square().mean().sqrt(), state


class OneNumber(SGD):
    """Takes its rate as one number."""

    def update_tensor(self, grad, state, param):
        return -float(torch.as_tensor(self.lr).mean()) * grad, state


class Claims(CoordinatewiseOptimizer):
    """Not coordinatewise at all."""

    tunable = ()

    def init_tensor(self, param):
        return {}

    def update_tensor(self, grad, state, param):
        return -0.01 * grad / grad.flatten(2).norm(dim=2).reshape(*grad.shape[:2], *[1] * (grad.ndim - 2)), state


class Weightless(SGD):
    def state_bytes(self, state):
        return None


class MatricesOnly(SGD):
    def update_tensor(self, grad, state, param):
        if grad.ndim != 4:
            raise ValueError("matrices only")
        return super().update_tensor(grad, state, param)


class Hangs(SGD):
    def state_bytes(self, state):
        time.sleep(3600)


class Dies(SGD):
    def state_bytes(self, state):
        os._exit(3)


class Refuses(SGD):
    def model_post_init(self, context):
        raise RuntimeError("not today")


class Abstract(Optimizer):
    pass
'''

TASKS = '''
import torch
from l2obench.tasks.base import Problem
from l2obench.tasks.quadratic import Quadratic


class Sound(Quadratic):
    pass


class Global(Quadratic):
    def sample(self, generator):
        return super().sample(torch.default_generator)


class Doubles(Quadratic):
    def sample(self, generator):
        drawn = super().sample(generator)
        return Problem({"theta": drawn.params["theta"].double()}, drawn.data)


class Ragged(Quadratic):
    def sample(self, generator):
        drawn = super().sample(generator)
        return Problem({"theta": drawn.params["theta"][: 3 + int(generator.initial_seed()) % 5]}, drawn.data)


class Vector(Quadratic):
    def loss(self, params, batch):
        return (batch["w"] @ params["theta"] - batch["y"]).square()


class Noisy(Quadratic):
    def loss(self, params, batch):
        return super().loss(params, batch) + torch.rand(())


class Wrong(Quadratic):
    """Forgets the factor 2."""

    def loss_and_grad(self, params, batch):
        losses, grads = super().loss_and_grad(params, batch)
        return losses, {"theta": grads["theta"] / 2}


class Mutates(Quadratic):
    def loss_and_grad(self, params, batch):
        params["theta"].mul_(0.5)
        return super().loss_and_grad(params, batch)


class Mixes(Quadratic):
    def loss_and_grad(self, params, batch):
        losses, grads = super().loss_and_grad(params, batch)
        return losses, {"theta": grads["theta"].mean(0, keepdim=True).expand_as(grads["theta"])}


class Horizon(Quadratic):
    def sample(self, generator):
        drawn = super().sample(generator)
        return Problem({"theta": drawn.params["theta"] * self.horizon}, drawn.data)


class Metric(Quadratic):
    def evaluate(self, params):
        return {7: params["theta"].sum(-1)}


class Scalar(Quadratic):
    def evaluate(self, params):
        return {"loss": params["theta"].sum()}


class Groups(Quadratic):
    groups = {"fc": ("weights",)}


class Final(Quadratic):
    def final_loss(self, losses):
        return losses[..., -1:]


class Sources(Quadratic):
    def sources(self):
        return {"digits": {1, 2}}


class Draws(Quadratic):
    def draw(self, generator, steps):
        return {"batch": torch.randint(0, 5, (7,), generator=generator)}
'''


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_rules.py").write_text(RULES)
    (tmp_path / "their_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("their_rules", "their_tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def outcome(identity: str, requirement: str) -> str:
    """What is said of one requirement, asked for in this process: the empty string where it is met."""
    subject = find_subject(identity)
    of_task, of_optimizer = task_requirements.require_of_task, optimizer_requirements.require_of_optimizer
    try:
        return (of_task if subject.kind == "task" else of_optimizer)(subject.model, requirement) or ""
    except Exception as error:
        return str(error)


BROKEN = {
    "their_rules.Shapes": ("updates fit", "with shape (3, 2, 4, 1), expected (3, 2, 4, 3)"),
    "their_rules.Infinite": ("updates are finite", "is not finite at step 1"),
    "their_rules.Mutates": ("inputs stay unchanged", "update changed params["),
    "their_rules.Keeps": ("updates are not kept", "an update that is kept"),
    "their_rules.Random": ("same again", "two runs on the same gradients differ"),
    "their_rules.Normalises": ("neighbours do not matter", "a replica alone differs"),
    "their_rules.OneNumber": ("hyperparameters stack", "lr stacked differs from lr="),
    "their_rules.Claims": ("coordinates are independent", "some coordinates alone differ"),
    "their_rules.Weightless": ("state has a size", "state_bytes must give a whole number of bytes, got None"),
    "their_rules.MatricesOnly": ("takes every shape", "parameters of shape (): ValueError: matrices only"),
    "their_tasks.Global": ("samples come from the generator", "another function"),
    "their_tasks.Doubles": ("samples fit", "torch.float64"),
    "their_tasks.Ragged": ("samples fit", "with shape"),
    "their_tasks.Vector": ("loss is a pure scalar", "with shape (10,), expected ()"),
    "their_tasks.Noisy": ("loss is a pure scalar", "for the same replica"),
    "their_tasks.Wrong": ("gradients are those of the loss", "differs from torch.func"),
    "their_tasks.Mutates": ("gradients fit", "loss_and_grad changed params['theta']"),
    "their_tasks.Mixes": ("neighbours do not matter", "a replica alone differs"),
    "their_tasks.Horizon": ("horizon changes no function", "another horizon gave another function"),
    "their_tasks.Metric": ("evaluation fits", "must give metrics by name, got the name 7"),
    "their_tasks.Scalar": ("evaluation fits", "with shape ()"),
    "their_tasks.Groups": ("groups name parameters", "weights"),
    "their_tasks.Final": ("final loss fits", "with shape (2, 3, 1), expected (2, 3)"),
    "their_tasks.Sources": ("sources are plain", "not JSON serializable"),
    "their_tasks.Draws": ("minibatches come from the generator", "with shape (7,), expected (4, ...)"),
}


@pytest.mark.parametrize("identity", BROKEN)
def test_each_defect_is_found_by_its_requirement(identity: str) -> None:
    requirement, finding = BROKEN[identity]
    assert finding in outcome(identity, requirement)


@pytest.mark.parametrize(
    "identity",
    ["adamw", "nag", "rmsprop", "lstm[checkpoint=mnist]", "torch.optim.Adagrad", "their_rules.Sound"],
)
def test_optimizers_that_keep_the_contract(identity: str) -> None:
    allowed = {"", "nothing is tunable", "the rule does not promise to be coordinatewise"}
    assert {outcome(identity, name) for name in optimizer_requirements.REQUIREMENTS} <= allowed


@pytest.mark.parametrize("identity", ["quadratic[condition=10]", "mnist-mlp[units=3]", "their_tasks.Sound"])
def test_tasks_that_keep_the_contract(identity: str) -> None:
    said = {outcome(identity, name) for name in task_requirements.REQUIREMENTS}
    assert all(line == "" or line.startswith(("the family has no", "loss_and_grad is the default")) for line in said)


def test_a_crash_is_a_finding_and_the_test_goes_on() -> None:
    found = {item.requirement: item for item in examine(find_subject("their_rules.Dies"), timeout=60)}
    assert found["state has a size"].finding == "its process ended itself with exit code 3"
    assert {item.status for item in found.values()} == {"passed", "failed"}
    assert list(found) == list(optimizer_requirements.REQUIREMENTS)


def test_a_hang_is_a_finding_and_what_follows_is_skipped() -> None:
    found = list(examine(find_subject("their_rules.Hangs"), timeout=5))
    position = list(optimizer_requirements.REQUIREMENTS).index("state has a size")
    assert {item.status for item in found[:position]} == {"passed"}
    assert found[position] == Finding("state has a size", "failed", "no answer within 5 s")
    assert {item.finding for item in found[position + 1 :]} == {"an earlier requirement hung"}


@pytest.mark.parametrize(
    ("identity", "message"), [("their_rules.Refuses", "not today"), ("their_rules.Abstract", "abstract")]
)
def test_what_cannot_be_made_is_one_line(identity: str, message: str) -> None:
    with pytest.raises(BadParameters, match=message):
        find_subject(identity)


def test_what_is_neither_is_one_line() -> None:
    with pytest.raises(UnknownName, match=r"task or optimizer 'their_rules\.Missing' cannot be imported"):
        find_subject("their_rules.Missing")
    with pytest.raises(UnknownName, match=r"must be a subclass of .*Optimizer"):
        find_subject("pathlib.Path")


def l2obench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "l2obench", "test-plugin", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path) -> None:
    kept = l2obench("their_tasks.Sound", folder=tmp_path)
    assert kept.returncode == 0
    assert re.fullmatch(r"All \d+ requirements met", kept.stdout.splitlines()[-1])
    broken = l2obench("their_rules.Mutates", "--json", folder=tmp_path)
    facts = json.loads(broken.stdout)
    assert broken.returncode == 1
    assert not facts["passed"]
    failed = {item["requirement"] for item in facts["findings"] if item["status"] == "failed"}
    assert "inputs stay unchanged" in failed
    assert all("\n" not in item["finding"] for item in facts["findings"])
    unknown = l2obench("their_rules.Missing", folder=tmp_path)
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1
