"""A `ModuleTask` of a user's file runs as any family does: tuned, timed, resumed, reported, and trained on."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import task_registry
from l2obench.bench.config.suite import make_suite
from l2obench.bench.contract.module_requirements import requirements_of
from l2obench.bench.contract.task_requirements import REQUIREMENTS, require_of_task
from l2obench.bench.failures import ContractBroken
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.bench.run.plugin_test import examine, find_subject
from l2obench.bench.run.runner import Outcome, Runner
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder

MODELS = Path(__file__).resolve().parents[2] / "tasks" / "modules" / "models.py"
WRONG = '''
"""Tasks that lack something."""
import numpy as np
import torch
from torch import nn
from models import BranchingTask, images


class NoLoss(BranchingTask):
    def batch_loss(self, model, batch):
        return super(BranchingTask, self).batch_loss(model, batch)


class Lengths(BranchingTask):
    def training_data(self):
        x, y = super().training_data()
        return x, y[:10]


class NoModule(BranchingTask):
    def make_model(self):
        return lambda x: x


class OwnGenerator(BranchingTask):
    def make_model(self):
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight += torch.from_numpy(np.random.default_rng().normal(size=(1, 3)))
        return model


class Vector(BranchingTask):
    def batch_loss(self, model, batch):
        return model(batch[0])


class Shapes(BranchingTask):
    def make_model(self):
        return nn.Linear(5, 1)


class Whole(BranchingTask):
    def training_data(self):
        x, y = super().training_data()
        return x.long(), y


class Backward(BranchingTask):
    def batch_loss(self, model, batch):
        loss = model(batch[0]).square().mean()
        loss.backward()
        return loss


class Unused(BranchingTask):
    def batch_loss(self, model, batch):
        return super().batch_loss(model, batch) * 0


class ClassOfModel(BranchingTask):
    def make_model(self):
        return nn.Linear


class Metrics(BranchingTask):
    def heldout_data(self):
        return self.training_data()

    def heldout_metrics(self, model, batch):
        return {"r2": model(batch[0])}
'''
FINDINGS = {
    "NoLoss": ("a loss is given", "must define batch_loss, the loss. Try: def batch_loss(self, model, batch)"),
    "Lengths": ("minibatches are given", "got lengths batch[0]: 60, batch[1]: 10. Try: return x, y with"),
    "ClassOfModel": ("a model is given", "got the class Linear. Try: return nn.Linear(2, 1)"),
    "NoModule": ("a model is given", "must return an nn.Module, got function. Try: return nn.Linear(2, 1)"),
    "OwnGenerator": ("the model belongs to its seed", "Try: torch's, NumPy's or Python's global generators"),
    "Vector": ("a loss is given", "must return a scalar tensor, got shape (32, 1). Try: .mean()"),
    "Metrics": ("held out metrics are given", "got 'r2' with shape (60, 1). Try: .mean()"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "models.py").write_text(MODELS.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    return tmp_path


def execute(
    tasks: list[str], tracks: list[str], lines: list[str], optimizers: Sequence[str] = ("adam", "sgd")
) -> Outcome:
    suite = {"seeds": 2, "tuning_seeds": 1, "tracks": tracks, "optimizers": [*optimizers]}
    cells = make_suite("test", {**suite, "tasks": [{"task": name} for name in tasks]}).cells()
    return Runner(RunFolder(Path("run")), cells, report=lines.append).execute({"suite": "test"})


def test_a_task_of_a_file_is_tuned_timed_and_resumed(folder: Path) -> None:
    task, lines = "./models.py:ResidualTask[dropout=0.5,horizon=4]", list[str]()
    assert execute([task], ["default", "tuned"], lines).computed == 4
    frame = pd.read_parquet("run/cells")
    assert set(frame["status"]) == {"ok"}
    first = frame[frame["track"] == "default"].groupby("optimizer")["loss"].agg(lambda rows: [row[0] for row in rows])
    assert first["adam"] == first["sgd"]
    assert frame["heldout_loss"].notna().all()
    assert frame["heldout_accuracy"].between(0, 1).all()
    assert all(0 < json.loads(found)["confidence"] <= 1 for found in frame["heldout_metrics"])
    # Cells have no times that were taken under load, and tests run side by side; the timing pass keeps them all.
    assert (pd.read_parquet("run/timing")["grad_seconds"] > 0).all()
    assert not any("one after another" in line for line in lines)
    assert execute([task], ["default", "tuned"], lines).computed == 0
    (folder / "models.py").write_text((folder / "models.py").read_text() + "\n# edited\n")
    with pytest.raises(StoreError, match="task_source"):
        execute([task], ["default", "tuned"], lines)


def test_a_run_says_once_that_replicas_run_one_after_another() -> None:
    lines: list[str] = []
    execute(["./models.py:BranchingTask[horizon=3]"], ["default"], lines)
    assert sum("replicas run one after another: torch.vmap cannot run" in line for line in lines) == 1
    timing = pd.read_parquet("run/timing")
    assert timing["replicas"].str.contains("data-dependent").all()


def test_a_loader_with_workers_runs_in_a_process_of_its_own() -> None:
    execute(["./models.py:LoaderTask[horizon=3,size=1,workers=1]"], ["default"], [], optimizers=["sgd"])
    frame = pd.read_parquet("run/cells")
    assert set(frame["status"]) == {"ok"}, set(frame["reason"])
    assert np.isfinite(frame["final_loss"]).all()


@pytest.mark.parametrize("task", ["ResidualTask", "RecurrentTask", "BranchingTask"])
@pytest.mark.parametrize("second_order", [False, True])
def test_a_learned_optimizer_trains_on_it(task: str, second_order: bool) -> None:
    sizes = {"trajectories": 1, "validate_every": 1, "functions": 2, "validation_functions": 2, "unroll": 2}
    order = {"second_order": True, "coordinates": None} if second_order else {"coordinates": 8}
    recipe = Recipe(task=f"./models.py:{task}[batch=8,horizon=2]", optimizer="lstm", **sizes, **order)  # type: ignore[arg-type]
    trainer = Trainer(recipe)
    begun = trainer.begin()
    done = trainer.run_trajectory(begun)
    assert done.meta_steps == 1
    assert np.isfinite(done.best_validation)
    assert any((done.phi[name] != begun.phi[name]).any() for name in begun.phi)


@pytest.mark.parametrize("name", FINDINGS)
def test_a_requirement_says_what_is_missing_and_how_to_give_it(name: str) -> None:
    requirement, finding = FINDINGS[name]
    found = {item.requirement: item for item in examine(find_subject(f"./wrong.py:{name}"), 60.0)}
    assert found[requirement].status == "failed"
    assert finding in found[requirement].finding
    assert found["gradients fit"].finding == "needs what failed above"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "Shapes",
            [
                "shapes cannot be multiplied",
                "(models.py, line 90)",
                "batch[0] float32 [32, 3]",
                "inputs of the first layer",
            ],
        ),
        ("Whole", ["dtype", "batch[0] int64 [32, 3]", "Try: .float() for inputs, .long() for classes."]),
        ("Backward", ["Try: return the loss, and leave backward() to l2obench."]),
        ("Unused", ["gradients of zero only. Try: compute it with the model that batch_loss is given"]),
    ],
)
def test_a_loss_that_cannot_be_computed_says_where_and_on_what(name: str, said: list[str]) -> None:
    task = task_registry().create(f"./wrong.py:{name}")
    with pytest.raises(ContractBroken) as raised:
        requirements_of(task)["a loss is given"](task)
    for words in said:
        assert words in str(raised.value)


def test_what_fails_for_one_reason_is_said_once() -> None:
    found = [item for item in examine(find_subject("./wrong.py:NoModule"), 60.0) if item.status == "failed"]
    assert [item.requirement for item in found] == ["a model is given"]


@pytest.mark.parametrize(
    "name", ["ResidualTask", "DictTask", "BranchingTask", "LoaderTask", "FunctionTask", "FrozenTask"]
)
def test_a_task_that_is_right_meets_all_requirements(name: str) -> None:
    task = task_registry().create(f"./models.py:{name}")
    for requirement in {**requirements_of(task), **REQUIREMENTS}:
        require_of_task(task, requirement)
