"""Nested optimizer states: a copy, and the same without a graph."""

from torch import Tensor

from l2obench.optimizers.base import State
from l2obench.tasks.base import Tensors


def copy_state(state: State) -> State:
    """A copy of a nested state. The rollout consumes the original: some rules update it in place.

    Args:
        state: tensors, numbers and dicts of them. Only tensors and dicts are copied.
    """
    return {
        key: value.clone() if isinstance(value, Tensor) else copy_state(value) if isinstance(value, dict) else value
        for key, value in state.items()
    }


def detach_state(state: Tensors | State) -> State:
    """The same nested tensors, detached from the graph of their segment.

    Args:
        state: tensors, numbers and dicts of them. Memory is shared with it.
    """
    return {
        key: value.detach() if isinstance(value, Tensor) else detach_state(value) if isinstance(value, dict) else value
        for key, value in state.items()
    }
