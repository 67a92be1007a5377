"""Optimizers of torch as baselines."""

from typing import Any

import pytest
import torch

from l2obench.bench.config.registry import BadParameters, optimizer_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.bridged.torch_optim import bridge
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic


def test_torch_class_as_baseline_equals_ours() -> None:
    task = Quadratic(horizon=30)
    theirs = rollout(task, optimizer_registry().create("torch.optim.Adam[lr=0.1]"), [1, 2], dtype=torch.float64)
    ours = rollout(task, Adam(lr=0.1), [1, 2], dtype=torch.float64)
    torch.testing.assert_close(theirs.losses, ours.losses)


def test_torch_class_takes_stacked_rates() -> None:
    rates = torch.tensor([[0.01, 0.1]])
    bridged = optimizer_registry().create("torch.optim.Adam").stacked({"lr": rates})
    result = rollout(Quadratic(horizon=10), bridged, [1, 2], settings=2)
    expected = rollout(Quadratic(horizon=10), Adam().stacked({"lr": rates}), [1, 2], settings=2)
    torch.testing.assert_close(result.losses, expected.losses, rtol=1e-4, atol=1e-4)


class Decomposes(torch.optim.SGD):
    """As preconditioned rules do, it decomposes an outer product; LAPACK refuses one that is not finite."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                torch.linalg.eigh(torch.outer(param.grad, param.grad))
        return super().step(closure)


def test_a_diverged_replica_that_a_torch_class_refuses_leaves_the_others() -> None:
    rates = torch.tensor([[1e6, 0.001]])
    cls = bridge("decomposes", Decomposes)
    result = rollout(Quadratic(horizon=20), cls().stacked({"lr": rates}), [1, 2], settings=2)
    expected = rollout(Quadratic(horizon=20), SGD(lr=0.001), [1, 2])
    assert (result.diverged_at[:, 0] > 0).all()
    assert (result.diverged_at[:, 1] == -1).all()
    torch.testing.assert_close(result.losses[:, 1], expected.losses[:, 0], rtol=1e-4, atol=1e-4)


def test_torch_state_is_counted() -> None:
    result = rollout(Quadratic(horizon=2), optimizer_registry().create("torch.optim.Adam"), [1, 2])
    assert result.state_bytes >= 2 * 10 * 4


def test_torch_parameters_are_checked() -> None:
    with pytest.raises(BadParameters, match="lr"):
        optimizer_registry().create("torch.optim.Adam[lr=fast]")
    with pytest.raises(BadParameters, match="Did you mean foreach"):
        optimizer_registry().create("torch.optim.Adam[foreah=true]")
