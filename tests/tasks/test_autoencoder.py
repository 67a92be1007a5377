"""The autoencoder: torch's layers as the reference, the gradient by hand, the held-out error."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import linear, mse_loss

from l2obench.tasks.autoencoder import Autoencoder
from l2obench.tasks.base import Tensors
from l2obench.tasks.data.digits import digits
from tests.tasks.replicas import assert_gradient_by_hand, stacked

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu, "gelu": torch.nn.functional.gelu}


def reconstructed(params: Tensors, x: torch.Tensor, activation: str) -> torch.Tensor:
    h = x
    for k in range(3):
        h = ACTIVATIONS[activation](linear(h, params[f"w{k}"], params[f"b{k}"]))
    return torch.sigmoid(linear(h, params["w3"], params["b3"]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_is_the_mean_squared_error_of_the_reconstruction(activation: str) -> None:
    task = Autoencoder(units=5, code=2, activation=activation, batch=4)
    params, batch = stacked(task, 1, 1)
    one = {name: value[0, 0] for name, value in params.items()}
    assert [tuple(one[f"w{k}"].shape) for k in range(4)] == [(5, 784), (2, 5), (5, 2), (784, 5)]
    x = batch["x"][0]
    torch.testing.assert_close(task.loss(one, {"x": x}), mse_loss(reconstructed(one, x, activation), x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backpropagation_by_hand_equals_autograd(activation: str) -> None:
    task = Autoencoder(units=5, code=3, activation=activation, batch=4)
    params, batch = stacked(task, 2, 3)
    assert_gradient_by_hand(task, params, batch)


def test_heldout_loss_is_the_error_on_the_test_digits() -> None:
    task = Autoencoder(units=5, code=3)
    params, _ = stacked(task, 2, 2)
    found = task.evaluate(params)
    assert set(found) == {"loss"}
    x = digits("mnist5k", "test").inputs.double()
    one = {name: value[1, 0] for name, value in params.items()}
    torch.testing.assert_close(found["loss"][1, 0], mse_loss(reconstructed(one, x, "relu"), x))


@pytest.mark.parametrize("parameters", [{"code": 0}, {"activation": "softmax"}, {"data": "digits"}])
def test_bad_parameters_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        Autoencoder(**parameters)
