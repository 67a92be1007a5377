"""A rule run over gradients that are given, without a function."""

import torch

from l2obench.optimizers.base import Optimizer, Tensors


def run(rule: Optimizer, steps: list[Tensors], graph: bool = False) -> list[Tensors]:
    """The updates for gradients given step by step."""
    params = {name: torch.zeros_like(value) for name, value in steps[0].items()}
    found = []
    with torch.set_grad_enabled(graph):
        state = rule.init(params)
        for grads in steps:
            updates, state = rule.update(grads, state, params)
            found.append({name: update.detach() for name, update in updates.items()})
    return found
