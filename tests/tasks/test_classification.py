"""Perceptrons and logistic regression on small data: torch's layers as the reference, gradients, splits, metrics."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cross_entropy, elu, gelu, linear

from l2obench.tasks.base import Tensors
from l2obench.tasks.classification import Classifier
from l2obench.tasks.data.labelled import Labelled
from l2obench.tasks.data.photos10 import crops
from l2obench.tasks.data.scikit import scikit
from l2obench.tasks.logistic import Logistic
from l2obench.tasks.perceptron import Perceptron
from tests.tasks.replicas import assert_gradient_by_hand, stacked

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu, "tanh": torch.tanh, "elu": elu, "gelu": gelu}
SIZES = {"digits": (1438, 359, 64), "mnist1d": (4000, 1000, 40), "photos10": (5000, 1000, 3072)}
TABLES = {"breast-cancer": (456, 113, 30, 2), "digits": (1438, 359, 64, 10), "wine": (143, 35, 13, 3)}


def replica(tensors: Tensors, *index: int) -> Tensors:
    return {name: value[index] for name, value in tensors.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_perceptrons_loss_is_that_of_torchs_layers(activation: str) -> None:
    task = Perceptron(activation=activation, layers=2, units=7, batch=16)
    params, batch = stacked(task, 1, 1)
    one = replica(params, 0, 0)
    h = batch["x"][0]
    for k in range(2):
        h = ACTIVATIONS[activation](linear(h, one[f"w{k}"], one[f"b{k}"]))
    expected = cross_entropy(linear(h, one["w2"], one["b2"]), batch["y"][0].argmax(-1))
    torch.testing.assert_close(task.loss(one, replica(batch, 0)), expected)


def test_logistic_regression_is_softmax_with_a_penalty_on_its_weights_alone() -> None:
    task = Logistic(data="wine", penalty=0.3)
    params, batch = stacked(task, 1, 1)
    one = replica(params, 0, 0)
    assert set(one) == {"w0", "b0"}
    expected = cross_entropy(linear(batch["x"][0], one["w0"], one["b0"]), batch["y"][0].argmax(-1))
    expected += 0.15 * one["w0"].square().sum()
    torch.testing.assert_close(task.loss(one, replica(batch, 0)), expected)


def test_logistic_regression_is_convex() -> None:
    """The loss between two points is nowhere above the line between their losses."""
    task = Logistic(data="digits", penalty=0)
    params, batch = stacked(task, 1, 2)
    start, end, examples = replica(params, 0, 0), replica(params, 0, 1), replica(batch, 0)
    ends = [task.loss(start, examples), task.loss(end, examples)]
    for share in torch.linspace(0.1, 0.9, 9, dtype=torch.float64):
        between = {name: torch.lerp(start[name], end[name], share) for name in start}
        assert task.loss(between, examples) < torch.lerp(*ends, share)


@pytest.mark.parametrize(
    "task",
    [
        *(Perceptron(activation=a, layers=n, units=5, batch=8) for a, n in itertools.product(ACTIVATIONS, [1, 3])),
        Perceptron(data="mnist1d", units=5, batch=8),
        *(Logistic(data=data, penalty=0.1, batch=8) for data in TABLES),
    ],
    ids=repr,
)
def test_backpropagation_by_hand_equals_autograd(task: Classifier) -> None:
    params, batch = stacked(task, 2, 3)
    assert_gradient_by_hand(task, params, batch)


@pytest.mark.parametrize("task", [Perceptron(units=6), Logistic(data="wine", penalty=10)], ids=repr)
def test_heldout_metrics_are_the_cross_entropy_and_accuracy_on_the_test_split(task: Classifier) -> None:
    params, _ = stacked(task, 2, 2)
    found, test = task.evaluate(params), task.examples("test")
    for seed, setting in itertools.product(range(2), range(2)):
        one = replica(params, seed, setting)
        h = test.inputs.double()
        if "w1" in one:
            h = torch.sigmoid(linear(h, one["w0"], one["b0"]))
        logits = linear(h, *list(one.values())[-2:])
        torch.testing.assert_close(found["loss"][seed, setting], cross_entropy(logits, test.labels))
        accuracy = (logits.argmax(-1) == test.labels).double().mean()
        torch.testing.assert_close(found["accuracy"][seed, setting], accuracy)


def shared_rows(one: Labelled, other: Labelled) -> int:
    rows = {row.numpy().tobytes() for row in one.inputs}
    return sum(row.numpy().tobytes() in rows for row in other.inputs)


@pytest.mark.parametrize("data", SIZES)
def test_the_perceptrons_data(data: str) -> None:
    task = Perceptron(data=data)
    train, test = task.examples("train"), task.examples("test")
    assert (*train.inputs.shape, len(test.labels)) == (SIZES[data][0], SIZES[data][2], SIZES[data][1])
    assert train.inputs.dtype == torch.float32
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert shared_rows(train, test) == 0
    assert train.inputs.std() > 0.1
    assert all(len(source["sha256"]) == 64 for source in task.sources().values())


@pytest.mark.parametrize("data", TABLES)
def test_features_are_standardised_by_training_examples(data: str) -> None:
    task = Logistic(data=data)
    train, test = task.examples("train"), task.examples("test")
    assert (len(train.labels), len(test.labels), *task.sample(torch.Generator()).params["w0"].T.shape) == TABLES[data]
    raw = scikit(data, "train").inputs
    varies = raw.std(0) > 0
    assert varies.sum() >= 0.9 * len(varies)
    torch.testing.assert_close(train.inputs.mean(0), torch.zeros(raw.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(train.inputs[:, varies].std(0, correction=0), torch.ones(int(varies.sum())))
    assert not train.inputs[:, ~varies].any()
    mean, deviation = raw.double().mean(0), raw.double().std(0, correction=0)
    expected = (scikit(data, "test").inputs.double() - mean) / deviation
    torch.testing.assert_close(test.inputs[:, varies].double(), expected[:, varies], atol=1e-3, rtol=1e-3)


def test_digits_are_those_of_scikit_learn_scaled_to_one() -> None:
    train = Perceptron().examples("train")
    assert (float(train.inputs.min()), float(train.inputs.max())) == (0, 1)


def test_crops_of_photographs_have_lost_their_mean_colour() -> None:
    task, images = Perceptron(data="photos10"), crops("test")[0]
    pixels = task.examples("test").inputs.view(-1, 3, 32, 32)
    torch.testing.assert_close(pixels.mean((2, 3)), torch.zeros(1000, 3), atol=1e-5, rtol=0)
    one, original = pixels[7, 1], images[7, 1].float() / 127.5
    torch.testing.assert_close(one - one[0, 0], original - original[0, 0])


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        (Perceptron, {"data": "mnist5k"}),
        (Perceptron, {"activation": "swish"}),
        (Perceptron, {"layers": 0}),
        (Logistic, {"data": "iris"}),
        (Logistic, {"penalty": -1.0}),
    ],
)
def test_bad_parameters_are_refused(family: type[Classifier], parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        family(**parameters)


@pytest.mark.parametrize("family", [Perceptron, Logistic])
def test_a_fold_splits_the_training_examples_and_leaves_the_test_examples_unseen(family: type[Classifier]) -> None:
    everything = family().examples("train").inputs
    parts = [family(fold=3).part(split).inputs for split in ("train", "test")]
    assert len(parts[1]) == len(everything) // 5
    rows = sorted(row.tolist() for part in parts for row in part)
    assert rows == sorted(row.tolist() for row in everything)
    assert family().part("test") is family().examples("test")


def test_the_folds_hold_out_each_example_once() -> None:
    held_out = [Perceptron(data="mnist1d", fold=fold).part("test").inputs for fold in range(5)]
    assert sorted(torch.cat(held_out).tolist()) == sorted(Perceptron(data="mnist1d").examples("train").inputs.tolist())
