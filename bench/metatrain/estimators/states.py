"""Nested states of rules: a copy, and the same without a graph."""

from torch import Tensor

from l2obench.optimizers.base import State
from l2obench.tasks.base import Tensors


def copied(state: State) -> State:
    """A copy of a nested state: the rollout consumes the original."""
    return {
        key: value.clone() if isinstance(value, Tensor) else copied(value) if isinstance(value, dict) else value
        for key, value in state.items()
    }


def without_graph(state: Tensors | State) -> State:
    """The same nested tensors, detached."""
    return {
        key: value.detach() if isinstance(value, Tensor) else without_graph(value) if isinstance(value, dict) else value
        for key, value in state.items()
    }
