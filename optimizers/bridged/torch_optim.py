"""Classes of `torch.optim`, and those that follow its interface, as rules here."""

import inspect
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import create_model
from torch import Tensor

from l2obench.foundation.tensors import tensors_bytes
from l2obench.optimizers.base import Optimizer, State, Tensors

# Float32 ends at 3e38: the square of a larger gradient, summed over a hundred million coordinates, may overflow.
SQUARES_OVERFLOW = 1e15


class TorchOptimizer(Optimizer):
    """A `torch.optim.Optimizer` as a rule: one instance a replica, stepped one after the other.

    The schedule-free optimizers have two points, between which they change by `train()` and `eval()`. Gradients are
    taken in the first mode and losses in the second.

    State: `replicas`, for each replica, seed by seed, a pair: its parameters by name, and its torch optimizer. A torch
    optimizer keeps in its own `state` what it remembers.
    """

    compiled_up_to: ClassVar[float] = 0

    @abstractmethod
    def make(self, params: Tensors) -> torch.optim.Optimizer:
        """Make the torch optimizer of one replica. This rule's hyperparameters are plain numbers there.

        Args:
            params: the replica's parameters by name, without the dimensions for seeds and settings.
        """

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take one step. A subclass overrides it where the torch optimizer needs a closure.

        Args:
            optimizer: from `make`, with the gradients of this step in its parameters.
        """
        optimizer.step()

    def init(self, params: Tensors) -> State:
        return {"replicas": [self._replica(params, index) for index in _replica_indices(params)]}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates = {name: torch.empty_like(value) for name, value in params.items()}
        for index, (own, optimizer) in zip(_replica_indices(params), state["replicas"], strict=True):
            for name, parameter in own.items():
                parameter.data.copy_(params[name][index])
                parameter.grad = grads[name][index].clone()
            try:
                self.take_step(optimizer)
            except Exception:
                if all(bool((parameter.grad.abs() < SQUARES_OVERFLOW).all()) for parameter in own.values()):
                    raise
                for name in own:  # a diverged replica, which a decomposition refuses, is no reason to lose the others
                    updates[name][index] = torch.nan
                continue
            for name, parameter in own.items():
                updates[name][index] = parameter.detach() - params[name][index]
        return updates, state

    @torch.no_grad()
    def evaluation_point(self, params: Tensors, state: State) -> Tensors | None:
        if not all(_has_modes(optimizer) for _, optimizer in state["replicas"]):
            return None
        point = {name: torch.empty_like(value) for name, value in params.items()}
        for index, (own, optimizer) in zip(_replica_indices(params), state["replicas"], strict=True):
            for name, parameter in own.items():
                parameter.copy_(params[name][index])
            optimizer.eval()
            for name, parameter in own.items():
                point[name][index] = parameter
            optimizer.train()
        return point

    def state_bytes(self, state: State) -> int:
        return sum(tensors_bytes(dict(optimizer.state)) for _, optimizer in state["replicas"])

    def _replica(self, params: Tensors, index: tuple[int, int]) -> tuple[Tensors, Any]:
        own: Tensors = {name: torch.nn.Parameter(value[index].clone()) for name, value in params.items()}
        values = {name: getattr(self, name) for name in type(self).model_fields}
        stacked = {name: _of_replica(value, params, index) for name, value in values.items() if torch.is_tensor(value)}
        optimizer: Any = self.model_copy(update=stacked).make(own)
        if _has_modes(optimizer):
            optimizer.train()
        return own, optimizer


class Bridged(TorchOptimizer):
    """A class of torch optimizers as a rule, from `bridge`. Hyperparameters not given keep that class's defaults."""

    torch_class: ClassVar[type[torch.optim.Optimizer]]
    """The class of which `make` makes an instance for each replica."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """The fields that its constructor takes."""

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        given = {name: getattr(self, name) for name in self.arguments if name in self.model_fields_set}
        return self.torch_class(params.values(), **given)


def bridge(name: str, torch_class: type[torch.optim.Optimizer]) -> type[Bridged]:
    """Make a rule of a class of torch optimizers.

    Args:
        name: of the rule, on the command line and in results.
        torch_class: numbers, switches and words of its constructor become the hyperparameters, with their defaults.

    Returns:
        A class whose track `tuned` searches `lr`, where the constructor has one.

    Example:
        >>> bridge("adagrad", torch.optim.Adagrad)().lr
        0.01
    """
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(torch_class).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        kind: Any = type(default) if type(default) in (bool, int, float, str) else Any
        kind = float | int if kind is int else kind
        kind = tuple[Any, ...] if type(default) is tuple else kind  # an identity writes it as a list
        fields[parameter.name] = (kind, ... if default is parameter.empty else default)
    summary = (inspect.getdoc(torch_class) or "").partition("\n\n")[0]
    cls = create_model(torch_class.__name__, __base__=Bridged, __doc__=summary, **fields)
    cls.name, cls.torch_class, cls.arguments = name, torch_class, tuple(fields)
    cls.tunable = tuple(field for field in ("lr",) if field in fields)
    return cls


def is_torch_optimizer(cls: Any) -> bool:
    """Whether `cls` is a class that `bridge` takes."""
    return isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)


def _replica_indices(params: Tensors) -> list[tuple[int, int]]:
    seeds, settings = next(iter(params.values())).shape[:2]
    return [(seed, setting) for seed in range(seeds) for setting in range(settings)]


def _of_replica(value: Tensor, params: Tensors, index: tuple[int, int]) -> float:
    """One replica's value of a stacked hyperparameter."""
    return value.expand(next(iter(params.values())).shape[:2])[index].item()


def _has_modes(optimizer: Any) -> bool:
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))
