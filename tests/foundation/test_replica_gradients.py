"""Gradients of all replicas at once are those of each alone, whichever way they are taken."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from l2obench.foundation.replica_gradients import gradient_of_each, gradient_of_sum, replica_gradients
from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.module import make_module_task
from l2obench.tasks.modules.flop_count import FlopCount

SEEDS = 3


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def evaluate(params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
    values = (batch["x"] @ params["weight"]).tanh()
    return (values - batch["y"]).square().mean(), {"mean": 0.9 * buffers["mean"] + 0.1 * values.mean()}


@pytest.mark.parametrize("settings", [1, 2])
@pytest.mark.parametrize("way", [gradient_of_sum, gradient_of_each])
@pytest.mark.parametrize("own_views", [False, True])
def test_each_replica_gets_the_gradient_of_its_own_loss(settings: int, way: object, own_views: bool) -> None:
    params = {"weight": random(SEEDS, settings, 4), "unused": random(SEEDS, settings, 2)}
    buffers = {"mean": random(SEEDS, settings)}
    batch = {"x": random(SEEDS, 5, 4), "y": random(SEEDS, 5)}
    losses, grads, after = way(evaluate, params, buffers, batch, own_views=own_views)  # type: ignore[operator]
    assert losses.shape == (SEEDS, settings)
    assert not losses.requires_grad
    for seed in range(SEEDS):
        for setting in range(settings):
            weight = params["weight"][seed, setting].clone().requires_grad_()
            own = {"weight": weight}
            loss, mean = evaluate(own, {"mean": buffers["mean"][seed, setting]}, {k: v[seed] for k, v in batch.items()})
            torch.testing.assert_close(losses[seed, setting], loss.detach())
            torch.testing.assert_close(grads["weight"][seed, setting], torch.autograd.grad(loss, weight)[0])
            torch.testing.assert_close(after["mean"][seed, setting], mean["mean"].detach())
    assert torch.equal(grads["unused"], torch.zeros_like(params["unused"]))
    assert not after["mean"].requires_grad


def test_autograd_passes_through_the_gradient_of_each() -> None:
    params = {"x": random(SEEDS, 1, 2).requires_grad_()}
    _, grads, _ = gradient_of_each(lambda own, none, batch: (own["x"].pow(3).sum(), none), params, {}, {})
    (second,) = torch.autograd.grad(grads["x"].sum(), params["x"])
    torch.testing.assert_close(second, 6 * params["x"].detach())


@pytest.mark.parametrize("settings", [1, 2])
def test_a_loss_without_parameters_has_no_gradient_and_one_of_many_numbers_is_refused(settings: int) -> None:
    params = {"x": random(SEEDS, settings, 2)}
    losses, grads, _ = gradient_of_sum(lambda own, none, batch: (batch["x"].sum(), none), params, {}, {"x": random(3)})
    torch.testing.assert_close(losses, random(3).unsqueeze(1).expand(SEEDS, settings))
    assert torch.equal(grads["x"], torch.zeros_like(params["x"]))
    with pytest.raises(ValueError, match=r"must be a scalar, got shape \(2,\)"):
        gradient_of_sum(lambda own, none, batch: (own["x"], none), params, {}, {})


LAYER = nn.GRU(2, 3, batch_first=True)


class Recurrent(Task):
    """A recurrent layer is one operator, which only `torch.func` takes apart."""

    name = "recurrent"
    horizon: int = 3

    def sample(self, generator: torch.Generator) -> Problem:
        params = {name: torch.randn(value.shape, generator=generator) for name, value in LAYER.named_parameters()}
        return Problem(params, {"x": torch.randn(1, 4, 2, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        outputs: Tensor = functional_call(LAYER, params, (batch["x"],))[0]
        return outputs.square().mean()


def test_what_one_way_cannot_batch_takes_the_other() -> None:
    problems = [Recurrent().sample(torch.Generator().manual_seed(seed)) for seed in range(SEEDS)]
    params = {k: torch.stack([problem.params[k] for problem in problems]).unsqueeze(1) for k in problems[0].params}
    batch = {"x": torch.stack([problem.data["x"] for problem in problems])}
    for _ in range(2):
        losses, grads = Recurrent().loss_and_grad(params, batch)
        for seed, problem in enumerate(problems):
            own = {name: value.clone().requires_grad_() for name, value in problem.params.items()}
            loss = Recurrent().loss(own, problem.data)
            torch.testing.assert_close(losses[seed, 0], loss.detach())
            for name, grad in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
                torch.testing.assert_close(grads[name][seed, 0], grad)


def test_other_errors_of_a_loss_are_its_own() -> None:
    def broken(own: Tensors, none: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        raise RuntimeError("no such loss")

    with pytest.raises(RuntimeError, match="no such loss"):
        replica_gradients(object, broken, {"x": random(1, 1, 2)}, {}, {})


NO_COMPILER = """
import sys, torch
from torch import nn
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.designed.adam import Adam
from l2obench.tasks.module import make_module_task
data = torch.randn(20, 3), torch.randn(20, 1)
loss = lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])
task = make_module_task("mine", model=lambda: nn.Linear(3, 1), data=data, loss=loss, horizon=3)
assert task._workshop().batching().together(20, "cpu")
rollout(task, Adam(), range(20))
assert "torch._dynamo" not in sys.modules
"""


def test_a_model_runs_without_the_compiler_which_takes_seconds_to_import() -> None:
    done = subprocess.run([sys.executable, "-c", NO_COMPILER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    x = torch.randn(2, 1, 8, 8)
    with FlopCounterMode(display=False) as theirs:
        model(x).sum().backward()
    with FlopCount() as ours:
        model(x).sum().backward()
    assert ours.total == theirs.get_total_flops()
    assert {name: count for name, count in ours.by_operator.items() if count} == {
        str(operator): count for operator, count in theirs.get_flop_counts()["Global"].items() if count
    }


def test_a_recurrent_module_runs_together_too() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            last: Tensor = self.head(self.layer(x)[0][:, -1])
            return last

    data = torch.randn(20, 4, 2), torch.randn(20, 1)
    task = make_module_task(
        "recurrent module",
        model=Model,
        data=data,
        loss=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1]),
        horizon=3,
    )
    found = task._workshop().batching()
    assert found.refused is None
    assert found.together(20, "cpu")
    assert found.flops > 0
