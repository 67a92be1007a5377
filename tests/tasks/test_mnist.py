"""The perceptron on digits: torch's own layers as the reference, the hand-written backward pass, held-out metrics."""

import itertools

import pytest
import torch

from l2obench.tasks.data.digits import digits
from l2obench.tasks.mnist import MnistMlp
from tests.tasks.replicas import assert_gradient_by_hand

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu, "tanh": torch.tanh, "elu": torch.nn.functional.elu}


def stacked(task: MnistMlp, seeds: int, settings: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Random float64 parameters of seeds × settings replicas, and a minibatch for each seed."""
    random = torch.Generator().manual_seed(5)
    like = task.sample(random).params
    params = {
        name: 0.3 * torch.randn(seeds, settings, *value.shape, generator=random, dtype=torch.float64)
        for name, value in like.items()
    }
    draws = torch.stack([task.draw(random, 1)["index"][0] for _ in range(seeds)])
    batch = task.minibatch({}, {"index": draws})
    return params, {name: value.double() for name, value in batch.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_is_torchs_cross_entropy(activation: str) -> None:
    task = MnistMlp(activation=activation, layers=2, units=7, batch=16)
    params, batch = stacked(task, 1, 1)
    one = {name: value[0, 0] for name, value in params.items()}
    h = batch["x"][0]
    for k in range(2):
        h = ACTIVATIONS[activation](torch.nn.functional.linear(h, one[f"w{k}"], one[f"b{k}"]))
    logits = torch.nn.functional.linear(h, one["w2"], one["b2"])
    expected = torch.nn.functional.cross_entropy(logits, batch["y"][0].argmax(-1))
    torch.testing.assert_close(task.loss(one, {name: value[0] for name, value in batch.items()}), expected)


@pytest.mark.parametrize(("activation", "layers"), list(itertools.product(ACTIVATIONS, [1, 3])))
def test_backpropagation_by_hand_equals_autograd(activation: str, layers: int) -> None:
    task = MnistMlp(activation=activation, layers=layers, units=5, batch=8)
    params, batch = stacked(task, 2, 3)
    assert_gradient_by_hand(task, params, batch)


def test_minibatches_are_training_digits_with_their_labels() -> None:
    task = MnistMlp(batch=4)
    index = torch.tensor([[0, 1, 2, 3999]])
    batch = task.minibatch({}, {"index": index})
    train = digits("mnist5k", "train")
    torch.testing.assert_close(batch["x"][0], train.inputs[index[0]])
    assert batch["y"][0].argmax(-1).tolist() == train.labels[index[0]].tolist()


def test_heldout_metrics_are_those_of_the_test_split() -> None:
    task = MnistMlp(units=6)
    params, _ = stacked(task, 2, 2)
    found = task.evaluate(params)
    test = digits("mnist5k", "test")
    for seed, setting in itertools.product(range(2), range(2)):
        one = {name: value[seed, setting] for name, value in params.items()}
        h = torch.sigmoid(test.inputs.double() @ one["w0"].T + one["b0"])
        logits = h @ one["w1"].T + one["b1"]
        torch.testing.assert_close(found["loss"][seed, setting], torch.nn.functional.cross_entropy(logits, test.labels))
        accuracy = (logits.argmax(-1) == test.labels).double().mean()
        torch.testing.assert_close(found["accuracy"][seed, setting], accuracy)


def test_final_loss_is_the_mean_of_the_last_ten() -> None:
    losses = torch.arange(101.0)
    assert float(MnistMlp().final_loss(losses)) == 95.5


def test_start_is_gaussian_with_the_stated_scale() -> None:
    params = MnistMlp(scale=0.5).sample(torch.Generator().manual_seed(0)).params
    assert {name: tuple(value.shape) for name, value in params.items()} == {
        "w0": (20, 784),
        "b0": (20,),
        "w1": (10, 20),
        "b1": (10,),
    }
    assert abs(float(params["w0"].std()) - 0.5) < 0.02
    assert params["b0"].any()
