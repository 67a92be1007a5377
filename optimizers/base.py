"""The protocol of an optimizer: two pure functions, `init` and `update`, the same for hand-designed and learned rules.

    state = rule.init(params)
    updates, state = rule.update(grads, state, params)
    params = params + updates

A rule that needs the loss or the number of steps takes them in `observe`, which is called before each update.
`params`, `grads` and `updates` are dicts of tensors by parameter name. In the engine they come stacked, one replica
after the other, as `[seeds, settings, ...]`; a rule that treats every coordinate alike need not care.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from l2obench.foundation.tensors import Tensors as Tensors  # part of this page: a rule imports it from here

SMALLEST = 1e-30  # a square far below that of any ε in use
State = dict[str, Any]


class Optimizer(BaseModel, ABC):
    """An update rule. Its fields are its hyperparameters: numbers, or (see `stacked`) one value for each replica.

    A learned optimizer differs in one thing only: it has meta-parameters (`meta_parameters` is not empty).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, arbitrary_types_allowed=True
    )

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever the rule would give other numbers: results of two versions are not comparable."""
    tunable: ClassVar[tuple[str, ...]] = ("lr",)
    """Hyperparameters that the track `tuned` searches, on a logarithmic grid."""
    compiled_up_to: ClassVar[float] = math.inf
    """Coordinates, all replicas together, up to which `--compile` makes a program of `update`; what is larger is faster
    as it stands."""

    @abstractmethod
    def init(self, params: Tensors) -> State:
        """The state before the first step."""

    @abstractmethod
    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        """The updates to add to `params`, and the next state.

        Neither `grads` nor `params` are changed. Where no autograd graph is recorded, `state` is consumed, a rule may
        reuse its memory for the state that it returns, and the updates are the caller's, who may write into them: a
        rule keeps none of them.
        """

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        """The state, told what a rule may need beyond the gradient; most rules need nothing, and get it back as it is.

        The engine calls it before each `update`. `state` is consumed.

        Args:
            state: from `init` or the last `update`.
            losses: at the parameters of the next `update`, `[seeds, settings]`.
            horizon: the number of updates from `init` to the end of the run.
        """
        return state

    def for_groups(self, groups: Mapping[str, tuple[str, ...]]) -> Self:
        """This rule, told which parameters are of which kind (`conv`, `fc`); most rules treat all alike.

        Raises:
            ValueError: the rule needs kinds that are not there.
        """
        return self

    def evaluation_point(self, params: Tensors, state: State) -> Tensors | None:
        """Where this rule's losses are taken, if not at `params`, where its gradients are; None: there.

        A rule that averages its iterates stands at two points at once. `state` is only looked at.
        """
        return None

    def state_bytes(self, state: State) -> int:
        """Memory of a state, in bytes."""
        return tensors_bytes(state)

    def flops_per_coordinate(self) -> float | None:
        """Arithmetic operations of one update, for each coordinate; None where nobody has counted them.

        Every addition, multiplication, division, square root, exponential, logarithm, sign or absolute value is one;
        comparisons, selections and copies are none, and neither is what a whole tensor shares (Adam's bias correction).
        A subclass that changes the formula counts anew.
        """
        return None

    @property
    def meta_parameters(self) -> Tensors:
        """The trained tensors of a learned optimizer; empty for a hand-designed one."""
        return {}

    def stacked(self, hyperparameters: Mapping[str, Tensor]) -> Self:
        """This rule with `[seeds or 1, settings]` values in place of the numbers: each replica gets its own."""
        return self.model_copy(update=dict(hyperparameters))


class CoordinatewiseOptimizer(Optimizer):
    """A rule in which no coordinate's update depends on another coordinate: one function, applied to each tensor.

    Being coordinatewise is a promise that the engine uses: meta-training may then follow a random subset of the
    coordinates. The last dimensions of every tensor in a parameter's state are therefore that parameter's shape.
    """

    @abstractmethod
    def init_tensor(self, param: Tensor) -> State:
        """The state that belongs to one parameter tensor."""

    @abstractmethod
    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        """The update of one parameter tensor, and its next state; the contract is that of `update`."""

    def kind(self, name: str) -> str:
        """The kind of the parameter called `name`; all are of one kind, unless the rule has several networks."""
        return ""

    def kind_by_shape(self, param: Tensor) -> str:
        """The kind of a parameter that has no name, as a module's: by its shape."""
        return ""

    def of_kind(self, kind: str) -> Self:
        """The rule for parameters of a kind."""
        return self

    def init(self, params: Tensors) -> State:
        return {name: self.of_kind(self.kind(name)).init_tensor(param) for name, param in params.items()}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        rules = {name: self.of_kind(self.kind(name)) for name in params}
        results = {name: rules[name].update_tensor(grads[name], state[name], param) for name, param in params.items()}
        return (
            {name: update for name, (update, _) in results.items()},
            {name: new_state for name, (_, new_state) in results.items()},
        )


def per_replica(hyperparameter: float | Tensor, like: Tensor) -> float | Tensor:
    """A hyperparameter, ready to multiply `like`: `[seeds or 1, settings]` gains the trailing dimensions it lacks."""
    if not isinstance(hyperparameter, Tensor):
        return hyperparameter
    return hyperparameter.reshape(*hyperparameter.shape, *[1] * (like.ndim - hyperparameter.ndim))


def blend(old: Tensor, new: Tensor, weight: float | Tensor) -> Tensor:
    """(1 − weight) · old + weight · new, in the memory of `old`, a tensor of the state, where no graph is recorded."""
    return torch.lerp(old, new, weight) if torch.is_grad_enabled() else old.lerp_(new, weight)


def power(beta: float | Tensor, step: int | Tensor) -> float | Tensor:
    """βᵗ. Where t is a tensor, in a compiled program, an exponential: a general power costs several times as much."""
    if isinstance(step, int):
        return beta**step
    return (torch.as_tensor(beta, dtype=step.dtype).log() * step).exp()


def root(square: Tensor) -> Tensor:
    """√square, but for its slope at 0, which is infinite: autograd would make NaN of it."""
    return square.clamp_min(SMALLEST).sqrt()


def tensors_bytes(state: Any) -> int:
    """Bytes of every tensor in a nested state of dicts, lists and tuples."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(state))


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Every tensor in a nested state of dicts, lists and tuples."""
    if isinstance(state, Tensor):
        yield state
        return
    for part in state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ():
        yield from tensors_of(part)
