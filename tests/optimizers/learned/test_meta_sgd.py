"""Learned rates: the update's formula, what they are tied to, and what they say where they do not fit."""

from pathlib import Path

import pytest
import torch

from l2obench.bench.config.recipe import make_recipe
from l2obench.bench.config.registry import BadParameters, optimizer_registry
from l2obench.bench.config.suite import SuiteError, make_suite
from l2obench.bench.metatrain.trainer import Trainer
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.learned.checkpoint import encode_checkpoint
from l2obench.optimizers.learned.meta_sgd import MetaSGD, Misfit

RATES = {"w": torch.tensor([[0.1, -0.2]]), "b": torch.tensor(0.3)}
SHAPES = {"w": (1, 2), "b": ()}


def saved(folder: Path, **changes: object) -> str:
    content = {"optimizer": "meta-sgd", "hyperparameters": {"shapes": SHAPES}, "recipe": {}, "tensors": RATES}
    path = folder / "it.safetensors"
    path.write_bytes(encode_checkpoint(**(content | changes)))  # type: ignore[arg-type]
    return str(path)


def test_every_coordinate_moves_at_its_own_rate(tmp_path: Path) -> None:
    rule = MetaSGD(checkpoint=saved(tmp_path), lr=2)
    grads = {"w": torch.tensor([[[[1.0, 10.0]]], [[[-1.0, 0.0]]]]), "b": torch.tensor([[5.0], [-5.0]])}
    params = {name: torch.zeros_like(value) for name, value in grads.items()}
    updates, state = rule.update(grads, rule.init(params), params)
    torch.testing.assert_close(updates["w"], torch.tensor([[[[-0.2, 4.0]]], [[[0.2, 0.0]]]]))
    torch.testing.assert_close(updates["b"], torch.tensor([[-3.0], [3.0]]))
    assert state == {}


def test_equal_rates_are_gradient_descent() -> None:
    grads = {"w": torch.randn(2, 3, 1, 2, generator=torch.Generator().manual_seed(0))}
    rule = MetaSGD(shapes={"w": (1, 2)}).initialised(torch.Generator())
    assert torch.equal(rule.update(grads, {}, grads)[0]["w"], SGD(lr=0.01).update(grads, {"w": {}}, grads)[0]["w"])


def test_a_checkpoint_brings_its_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path)
    rule = optimizer_registry().create(f"meta-sgd[checkpoint={path}]")
    assert rule.shapes == SHAPES
    assert all(torch.equal(rule.meta_parameters[name], value) for name, value in RATES.items())


@pytest.mark.parametrize(
    "shapes", [{"w": (1, 2)}, {"w": (2, 1), "b": ()}, {"w": (1, 2), "b": (), "c": (3,)}, {"v": (1, 2), "b": ()}]
)
def test_other_parameters_are_refused_in_one_line(shapes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    rule = MetaSGD(checkpoint=saved(tmp_path))
    params = {name: torch.zeros(1, 1, *shape) for name, shape in shapes.items()}
    with pytest.raises(Misfit, match="rates for other parameters") as caught:
        rule.init(params)
    assert "\n" not in str(caught.value)


def test_without_rates_it_says_how_to_learn_them() -> None:
    suite = make_suite("mine", {"optimizers": ["meta-sgd"], "tasks": [{"task": "quadratic"}]})
    with pytest.raises(SuiteError, match="l2obench train-start meta-sgd"):
        suite.cells()
    with pytest.raises(Misfit, match="l2obench train-start meta-sgd"):
        Trainer(make_recipe({"task": "quadratic", "optimizer": "meta-sgd"})).begin()


@pytest.mark.parametrize("shapes", [{"w": (1, 3), "b": ()}, {"w": (-1, 2), "b": ()}, {"w": "x"}, 3])
def test_a_checkpoint_whose_shapes_are_not_its_tensors_is_refused(shapes: object, tmp_path: Path) -> None:
    with pytest.raises(BadParameters, match=r"does not fit its architecture|out of range"):
        optimizer_registry().create(f"meta-sgd[checkpoint={saved(tmp_path, hyperparameters={'shapes': shapes})}]")
