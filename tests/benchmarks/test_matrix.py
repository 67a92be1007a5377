"""The matrix, seeds × learning rates in one rollout, against a loop of torch.optim over the same replicas."""

from collections.abc import Callable
from typing import Any

import torch

from bench.rollout import rollout
from optimizers.adam import Adam
from tasks.base import Task
from tasks.mnist import MnistMlp
from tasks.quadratic import Quadratic
from tests.benchmarks.peers.torch_loop import torch_loop

RATES = [0.001 * 1.5**k for k in range(10)]


def compare(versus: Callable[..., Any], task: Task, seeds: list[int]) -> None:
    stacked = Adam().stacked({"lr": torch.tensor([RATES])})
    ours, peers = versus(
        lambda: rollout(task, stacked, seeds, len(RATES), evaluate=False).losses,
        lambda: torch_loop(task, seeds, RATES),
    )
    torch.testing.assert_close(ours, peers, rtol=2e-3, atol=2e-3)


def test_quadratics_100_replicas_100_steps(versus: Callable[..., Any]) -> None:
    compare(versus, Quadratic(), list(range(10)))


def test_mlp_50_replicas_100_steps(versus: Callable[..., Any]) -> None:
    compare(versus, MnistMlp(), list(range(5)))
