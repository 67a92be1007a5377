"""Costs that a manifest keeps: from the rule, from its checkpoint's recipe, from the task."""

from typing import Any

import pytest

from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.suite import make_suite
from l2obench.bench.measure.costs import optimizer_costs, task_costs
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic


def test_hand_designed_rule_costs_no_meta_training() -> None:
    assert optimizer_costs(optimizer_registry().create("adam")) == {"flops_per_coordinate": 11, "meta_training": None}


def test_learned_rule_tells_its_recipe() -> None:
    costs = optimizer_costs(optimizer_registry().create("lstm[checkpoint=quadratic]"))
    training = costs["meta_training"]
    assert (training["task"], training["trajectories"], training["functions"]) == ("quadratic", 1500, 128)
    assert training["seconds"] > 60


def test_torch_optimizer_has_not_been_counted() -> None:
    assert optimizer_costs(optimizer_registry().create("torch.optim.Rprop"))["flops_per_coordinate"] is None


@pytest.mark.parametrize("answer", [float("inf"), float("nan"), "many", True, RuntimeError("no")])
def test_strange_count_is_not_known(answer: Any) -> None:
    class Strange(SGD):
        def flops_per_coordinate(self) -> float | None:
            if isinstance(answer, Exception):
                raise answer
            return answer

    assert optimizer_costs(Strange())["flops_per_coordinate"] is None


def test_parameters_of_tasks() -> None:
    assert task_costs(task_registry().create("quadratic")) == {"parameters": 10}
    # 784·20 + 20 + 20·10 + 10: the paper's perceptron.
    assert task_costs(task_registry().create("mnist-mlp")) == {"parameters": 15910}


def test_task_that_raises_has_no_count() -> None:
    class Broken(Quadratic):
        def sample(self, generator: Any) -> Any:
            raise RuntimeError("no")

    assert task_costs(Broken()) == {"parameters": None}


def test_manifest_keeps_the_costs_of_earlier_starts(tmp_path: Any) -> None:
    for optimizer in ("sgd", "adam"):
        plan = {"tracks": ["default"], "seeds": 2, "optimizers": [optimizer], "tasks": [{"task": "quadratic"}]}
        Runner(RunFolder(tmp_path / "run"), make_suite("toy", plan).cells()).execute({"suite": "toy"})
    costs = RunFolder(tmp_path / "run").manifest["costs"]
    assert costs["tasks"] == {"quadratic": {"parameters": 10}}
    assert {name: cost["flops_per_coordinate"] for name, cost in costs["optimizers"].items()} == {"sgd": 1, "adam": 11}
