"""What holds for every learned rule of ours: the contract, checkpoints, what an untrained one says."""

from pathlib import Path

import pytest
import torch

from l2obench.bench.config.recipe import make_recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.contract.optimizer_requirements import REQUIREMENTS, require_of_optimizer
from l2obench.bench.metatrain.estimators import make_estimator
from l2obench.bench.rollout.problems import Problems
from l2obench.optimizers import RULES
from l2obench.optimizers.base import CoordinatewiseOptimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from l2obench.tasks.logistic import Logistic

OF_ONE_ARCHITECTURE = {"meta-sgd"}  # has tests of its own
LEARNED = [name for name in RULES if issubclass(optimizer_registry().resolve(name), LearnedOptimizer)]
NAMES = [name for name in LEARNED if name not in OF_ONE_ARCHITECTURE]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_kept(name: str, requirement: str) -> None:
    require_of_optimizer(optimizer_registry().create(name), requirement)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_keep_architecture_and_weights(name: str, tmp_path: Path) -> None:
    fields = optimizer_registry().resolve(name).model_fields
    rule = optimizer_registry().create(f"{name}[hidden=9]" if "hidden" in fields else name)
    learned = rule.initialised(torch.Generator().manual_seed(0))
    path = tmp_path / "it.safetensors"
    path.write_bytes(encode_checkpoint(name, rule.describe_architecture(), {}, learned.meta_parameters))
    loaded = type(rule)(checkpoint=str(path))
    assert loaded.describe_architecture() == rule.describe_architecture()
    assert loaded.meta_parameters.keys() == learned.meta_parameters.keys()
    assert all(torch.equal(loaded.meta_parameters[name], value) for name, value in learned.meta_parameters.items())


@pytest.mark.parametrize("estimator", ["tbptt", "es", "pes"])
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_estimator_trains_it(name: str, estimator: str) -> None:
    """Two truncations of a trajectory: meta-gradients like the meta-parameters, finite, and not all zero.

    The task has a matrix and a vector: some rules leave vectors to a hand-designed rule.
    """
    rule = optimizer_registry().create(name).initialised(torch.Generator().manual_seed(0))
    random, weights = torch.Generator().manual_seed(1), torch.ones(3)
    method = make_estimator(make_recipe({"task": "logistic", "optimizer": name, "estimator": estimator}))
    problems = Problems(Logistic(data="wine"), [1, 2])
    unroll_state = method.begin(problems, rule, random)
    for _ in range(2):
        estimate = method.advance(problems, rule, unroll_state, weights, random)
        unroll_state = estimate.unroll_state
        assert {key: grad.shape for key, grad in estimate.meta_grads.items()} == rule.meta_shapes()
        assert all(grad.isfinite().all() for grad in estimate.meta_grads.values())
        assert any(grad.abs().max() > 0 for grad in estimate.meta_grads.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_one_says_how_to_train_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"l2obench train {name}"):
        optimizer_registry().create(name).init({"x": torch.zeros(1, 1, 2)})


@pytest.mark.parametrize("name", NAMES)
def test_two_networks_are_for_coordinatewise_rules(name: str) -> None:
    """Those have one for convolutions and one for the rest; of the others it is an error to ask for two."""
    rule = optimizer_registry().create(f"{name}[networks=conv-fc]").initialised(torch.Generator().manual_seed(0))
    if not isinstance(rule, CoordinatewiseOptimizer):
        with pytest.raises(ValueError, match=f"needs a coordinatewise rule; {name} is not one"):
            rule.for_groups({"conv": ("a",), "fc": ("b",)})
        return
    told = rule.for_groups({"conv": ("a",), "fc": ("b",)})
    params = {"a": torch.zeros(1, 1, 2), "b": torch.zeros(1, 1, 2)}
    phi = {key: value + 0.3 if key.startswith("fc/") else value for key, value in told.meta_parameters.items()}
    told = told.with_meta_parameters(phi)
    updates, _ = told.update({key: torch.ones(1, 1, 2) for key in params}, told.init(params), params)
    assert not torch.equal(updates["a"], updates["b"])
