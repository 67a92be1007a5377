"""Bridges to `torch.optim`, both ways: their classes as baselines here, our rules as drop-in optimizers there."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from pydantic import create_model
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State, Tensors, tensors_bytes

SQUARES_OVERFLOW = 1e15  # sums of squares beyond it leave float32


class DropIn(torch.optim.Optimizer):
    """A rule as a `torch.optim.Optimizer`: parameter groups, schedulers and `state_dict` work as they do for any other.

    Every floating-point hyperparameter of the rule stands in the parameter groups under its own name, `lr` included. A
    rule of two networks moves the filters of convolutions by one and all else by the other.

    Args:
        params: parameters, or dicts of groups, as `torch.optim` takes them.
        rule: a coordinatewise rule; a learned one must have its meta-parameters.

    Raises:
        TypeError: the rule is not coordinatewise: its state could not be kept by parameter.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], rule: Optimizer) -> None:
        if not isinstance(rule, CoordinatewiseOptimizer):
            raise TypeError(
                f"{rule.name} is not coordinatewise, and only coordinatewise rules come as torch optimizers"
            )
        self.rule = rule
        super().__init__(params, self._hyperparameters())

    def _hyperparameters(self) -> dict[str, float]:
        values = {name: getattr(self.rule, name) for name in type(self.rule).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    def __getstate__(self) -> dict[str, Any]:
        """What copying and pickling keep: torch's own part, and the rule."""
        return {**super().__getstate__(), "rule": self.rule}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; the closure's loss, where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        names = self._hyperparameters().keys()
        for group in self.param_groups:
            rule = self.rule.model_copy(update={name: group[name] for name in names})
            for param in group["params"]:
                if param.grad is None:
                    continue
                own = rule.of_kind(rule.kind_by_shape(param))
                state = self.state[param] or own.init_tensor(param)
                update, self.state[param] = own.update_tensor(param.grad, state, param)
                param.add_(update)
        return loss


class TorchOptimizer(Optimizer):
    """A `torch.optim.Optimizer` as a rule: one instance a replica, stepped one after the other.

    One that stands at two points and changes between them by `train()` and `eval()`, as the schedule-free ones do, is
    asked for gradients in the first mode and for losses in the second.
    """

    compiled_up_to: ClassVar[float] = 0

    @abstractmethod
    def make(self, params: Tensors) -> torch.optim.Optimizer:
        """The optimizer of one replica, on its own parameters; this rule's hyperparameters are plain numbers."""

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step on gradients that are in place."""
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
    """Any class of torch optimizers; what is not given of its hyperparameters is left to its own defaults."""

    torch_class: ClassVar[type[torch.optim.Optimizer]]

    def make(self, params: Tensors) -> torch.optim.Optimizer:
        given = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        return self.torch_class(params.values(), **given)


def bridge(name: str, torch_class: type[torch.optim.Optimizer]) -> type[Bridged]:
    """An optimizer of ours over a torch class; the numbers and switches of its constructor are the hyperparameters."""
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(torch_class).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        kind: Any = type(default) if type(default) in (bool, int, float, str) else Any
        kind = float | int if kind is int else kind
        fields[parameter.name] = (kind, ... if default is parameter.empty else default)
    summary = (inspect.getdoc(torch_class) or "").partition("\n\n")[0]
    cls = create_model(torch_class.__name__, __base__=Bridged, __doc__=summary, **fields)
    cls.name, cls.torch_class = name, torch_class
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
