"""Replicas at random parameters, and a gradient by hand held against autograd's."""

import torch

from l2obench.bench.rollout.problems import Problems
from l2obench.tasks.base import Task, Tensors


def stacked(task: Task, seeds: int, settings: int) -> tuple[Tensors, Tensors]:
    """Random float64 parameters of seeds × settings replicas, and a minibatch for each seed."""
    problems, random = Problems(task, list(range(seeds)), dtype=torch.float64), torch.Generator().manual_seed(5)
    params = {
        name: 0.3 * torch.randn(seeds, settings, *value.shape[1:], generator=random, dtype=torch.float64)
        for name, value in problems.start.items()
    }
    return params, problems.minibatch()


def assert_gradient_by_hand(task: Task, params: Tensors, batch: Tensors) -> None:
    """The task's losses and gradients equal those that the default makes of its loss."""
    losses, grads = task.loss_and_grad(params, batch)
    expected_losses, expected = Task.loss_and_grad(task, params, batch)
    torch.testing.assert_close(losses, expected_losses)
    assert list(grads) == list(params)
    for name in params:
        torch.testing.assert_close(grads[name], expected[name])
