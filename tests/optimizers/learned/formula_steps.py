"""Thirty steps of a rule beside its authors' formula in numpy, on tensors of every kind, in the authors' layout."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.learned.base import LearnedOptimizer

Arrays = dict[str, Any]
Step = Callable[[int, Arrays, Arrays, float], Arrays]
DOUBLE, STEPS, HORIZON = torch.float64, 30, 40
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (),
    "vector": (7,),
    "wide": (4, 6),
    "tall": (6, 4),
    "square": (5, 5),
    "filter": (6, 4, 3, 3),
    "square_filter": (5, 5, 3, 3),
    "embedding": (8, 3),
}
"""In our layout: outputs first."""
ORDERS = {2: (1, 0), 4: (2, 3, 1, 0)}
"""From our layout to the authors'."""


def theirs(value: Tensor) -> np.ndarray:
    """A replica's tensor in the authors' layout."""
    return value.permute(ORDERS.get(value.ndim, tuple(range(value.ndim)))).numpy().copy()


def back(value: np.ndarray) -> Tensor:
    order = np.argsort(ORDERS[value.ndim]) if value.ndim in ORDERS else range(value.ndim)
    return torch.from_numpy(np.ascontiguousarray(value.transpose(*order)) if value.ndim else np.asarray(value))


def trained(rule: LearnedOptimizer) -> Any:
    """A rule with meta-parameters of a size at which every part of the formula shows."""
    made = rule.initialised(torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(4)
    phi = {
        name: value.double() + 0.2 * torch.randn(value.shape, generator=random, dtype=DOUBLE)
        for name, value in made.meta_parameters.items()
    }
    return made.with_meta_parameters(phi)


def streams() -> Iterator[tuple[Tensors, Tensor]]:
    """Gradients `[2 seeds, 1 setting, ...]` and losses of each step; one gradient is beyond the bound."""
    random = torch.Generator().manual_seed(5)
    for step in range(STEPS):
        grads = {name: torch.randn(2, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}
        if step == 4:
            grads["wide"][0, 0, 0, 0] = 3000.0
        losses = 2 * 0.9**step + 0.3 * torch.rand(2, 1, generator=random, dtype=DOUBLE)
        yield grads, losses if step != 11 else losses + 50  # which is capped


def start() -> Tensors:
    random = torch.Generator().manual_seed(6)
    params = {name: torch.randn(2, 1, *shape, generator=random, dtype=DOUBLE) for name, shape in SHAPES.items()}
    params["vector"].zero_()  # as biases are
    return params


def trajectory(rule: Optimizer) -> Iterator[Tensors]:
    params = start()
    with torch.no_grad():
        state = rule.init(params)
        for grads, losses in streams():
            updates, state = rule.update(grads, rule.observe(state, losses, HORIZON), params)
            params = {name: value + updates[name] for name, value in params.items()}
            yield params


def assert_follows(rule: Optimizer, expected: list[Tensors], tolerance: float = 1e-9) -> None:
    """Both seeds, tensor by tensor, at every step."""
    for step, params in enumerate(trajectory(rule)):
        for name, value in params.items():
            gap = (value - expected[step][name]).abs().max() / (1 + expected[step][name].abs().max())
            assert gap < tolerance, (name, step, float(gap))


def numbers(rule: LearnedOptimizer) -> dict[str, Any]:
    return {name: value.numpy() for name, value in rule.meta_parameters.items()}


def assert_is_formula(rule: Optimizer, begin: Callable[[Arrays], Step]) -> None:
    """A rule takes the steps of a formula, on two seeds and on tensors of every kind.

    Args:
        rule: ours.
        begin: of a seed's parameters in the authors' layout, the formula's step: from the number of the step, the
            parameters, the gradients and the loss to what is added to the parameters.
    """
    seeds: list[list[Tensors]] = []
    for seed in range(2):
        params = {name: theirs(value[seed, 0]) for name, value in start().items()}
        step_of = begin(params)
        steps = []
        for step, (grads, losses) in enumerate(streams()):
            found = {name: theirs(grads[name][seed, 0]) for name in params}
            moves = step_of(step, params, found, float(losses[seed, 0]))
            params = {name: value + moves[name] for name, value in params.items()}
            steps.append({name: back(value) for name, value in params.items()})
        seeds.append(steps)
    expected = [
        {name: torch.stack([steps[step][name] for steps in seeds]).unsqueeze(1) for name in SHAPES}
        for step in range(STEPS)
    ]
    assert_follows(rule, expected)
