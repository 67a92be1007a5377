"""Floors: where float32 can no longer tell two losses apart."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from l2obench.bench.config.registry import task_registry
from l2obench.bench.rollout.seeds import derive_seed, generator
from l2obench.tasks.base import Task
from l2obench.tasks.quadratic import Quadratic


def test_the_floor_of_quadratics_is_what_rounding_leaves_at_the_minimum() -> None:
    task, left = Quadratic(), []
    for index in range(200):
        problem = task.sample(generator(derive_seed("tuning", "quadratic", index)))
        theta = torch.linalg.solve(problem.data["w"].double(), problem.data["y"].double()).float()
        left.append(float(task.loss({"theta": theta}, problem.data)))
    assert np.quantile(left, 0.5) < Quadratic.floor < np.quantile(left, 0.98)


def test_a_cross_entropy_below_its_floor_is_rounding() -> None:
    def found(margin: float) -> float:
        return float(cross_entropy(torch.tensor([[margin, *[0.0] * 9]]), torch.tensor([0])))

    floor = task_registry().create("mnist-mlp").floor
    assert found(17.0) == 0 < float(np.log1p(9 * np.exp(-17.0))) < floor
    assert found(16.0) == pytest.approx(float(np.log1p(9 * np.exp(-16.0))), rel=0.1)
    assert found(16.0) > floor


def test_all_families_state_a_floor() -> None:
    for name, entry in task_registry().entries.items():
        assert 0 <= task_registry().create(name).floor <= 1e-6, entry
    assert Task.floor == 1e-12
