"""The peer that everyone writes: one replica after the other, modules, autograd and torch.optim."""

from collections.abc import Callable, Iterator

import torch

from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.tasks.base import Task
from l2obench.tasks.cifar import CifarCnn
from l2obench.tasks.data.digits import digits
from l2obench.tasks.mnist import MnistMlp
from l2obench.tasks.quadratic import Quadratic

Step = Callable[[], torch.Tensor]


def torch_loop(task: Task, seeds: list[int], rates: list[float]) -> torch.Tensor:
    """Losses `[seeds, rates, steps + 1]` of Adam, on the rollout's functions and minibatches."""
    return torch.stack([torch.stack([_train(task, seed, rate) for rate in rates]) for seed in seeds])


def _train(task: Task, seed: int, rate: float) -> torch.Tensor:
    make = {Quadratic: quadratic, MnistMlp: perceptron, CifarCnn: convolutional}[type(task)]
    parameters, step_loss = make(task, seed)
    optimizer = torch.optim.Adam(parameters, lr=rate)
    losses = []
    for _ in range(task.horizon):
        optimizer.zero_grad()
        loss = step_loss()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor([*losses, step_loss().item()])


def quadratic(task: Task, seed: int) -> tuple[list[torch.nn.Parameter], Step]:
    problem = task.sample(generator(seed))
    theta = torch.nn.Parameter(problem.params["theta"])
    w, y = problem.data["w"], problem.data["y"]
    return [theta], lambda: ((w @ theta - y) ** 2).sum()


def perceptron(task: Task, seed: int) -> tuple[list[torch.nn.Parameter], Step]:
    assert isinstance(task, MnistMlp)
    random = generator(seed)
    start = task.sample(random).params
    model = torch.nn.Sequential(torch.nn.Linear(784, task.units), torch.nn.Sigmoid(), torch.nn.Linear(task.units, 10))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start.values(), strict=True):
            parameter.copy_(value)
    data = digits(task.data, "train")
    minibatches = _indices(task, random)

    def step_loss() -> torch.Tensor:
        index = next(minibatches)
        return torch.nn.functional.cross_entropy(model(data.inputs[index]), data.labels[index])

    return list(model.parameters()), step_loss


def convolutional(task: Task, seed: int) -> tuple[list[torch.nn.Parameter], Step]:
    assert isinstance(task, CifarCnn)
    random = generator(seed)
    start = task.sample(random).params
    layers: list[torch.nn.Module] = []
    inputs = 3
    for _ in range(3):
        layers += [
            torch.nn.Conv2d(inputs, task.channels, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(task.channels),
        ]
        layers += [torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        inputs = task.channels
    layers += [torch.nn.Flatten(), torch.nn.Linear(16 * inputs, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)]
    model = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start.values(), strict=True):
            parameter.copy_(value)
    data = task._split("train")
    minibatches = _indices(task, random)

    def step_loss() -> torch.Tensor:
        index = next(minibatches)
        return torch.nn.functional.cross_entropy(model(data.images[index]), data.labels[index])

    return list(model.parameters()), step_loss


def _indices(task: Task, random: torch.Generator) -> Iterator[torch.Tensor]:
    while True:
        yield from task.draw(random, DRAW_STEPS)["index"]
